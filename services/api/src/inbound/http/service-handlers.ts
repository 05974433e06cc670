/** Services: make, show, remove, scale. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import { hostnameLabel } from "@berth/shared/domain/names.ts";
import { Resources } from "@berth/shared/domain/resources.ts";
import { RELEASE_PROCESS } from "@berth/shared/domain/tasks.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { traceparent } from "@berth/shared/kit/telemetry.ts";
import { planScale } from "../../core/plan-processes.ts";
import { audited } from "../../outbound/audited.ts";
import { removeCertificatesOf } from "../../outbound/certificate-store.ts";
import { releaseDomains } from "../../outbound/domain-store.ts";
import {
  currentImage,
  lockService,
  makeRelease,
  readSettings,
  writeSettings,
} from "../../outbound/release-store.ts";
import type { Addresses } from "../../outbound/service-store.ts";
import { addService, readService, readServices } from "../../outbound/service-store.ts";
import type { Db, Trx } from "../../outbound/tables.ts";
import { violatedConstraint } from "../../outbound/tables.ts";
import { invalid, notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly addresses: Addresses;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

type ServiceHandlers = Pick<
  Handlers,
  "listServices" | "createService" | "showService" | "removeService" | "scaleService"
>;

/** DNS allows 63 characters in one label. */
const LABEL_LIMIT = 63;

export function serviceHandlers(given: Given): ServiceHandlers {
  const { db, addresses } = given;
  return {
    listServices: async ({ object }) => ({
      services: await readServices(db, object.environmentId, addresses),
    }),
    createService: (asked) => createService(given, asked),
    showService: async ({ object }) => {
      const service = await readService(db, object.serviceId, addresses);
      if (service === undefined) throw notFound(`service ${object.service}`);
      return service;
    },
    removeService: async ({ object, actor }) => {
      await audited(db, actor, async (trx) => {
        const locked = await lockService(trx, object.serviceId);
        if (locked === undefined) throw notFound(`service ${object.service}`);
        await trx
          .updateTable("services")
          .set({ deleted_at: new Date() })
          .where("id", "=", object.serviceId)
          .execute();
        await releaseDomains(trx, object.serviceId);
        await removeCertificatesOf(trx, object.serviceId);
        await tellServiceChanged(trx, object.serviceId);
        return {
          result: null,
          act: {
            action: "service.removed",
            target: object.serviceId,
            orgId: object.orgId,
            details: { name: object.service },
          },
        };
      });
      given.outbox.wake();
      return { removed: true as const };
    },
    scaleService: (asked) => scaleService(given, asked),
  };
}

async function createService(
  { db, addresses, outbox }: Given,
  { object, body, actor }: Asked<"createService">,
) {
  const label = hostnameLabel(body.name, object.environment);
  if (label.length > LABEL_LIMIT)
    throw invalid(
      "name",
      `SERVICE-ENVIRONMENT may have at most ${LABEL_LIMIT} characters, ${label} has ${label.length}`,
    );
  const id = newId("service");
  try {
    await audited(db, actor, async (trx) => {
      await addService(trx, {
        id,
        orgId: object.orgId,
        environmentId: object.environmentId,
        name: body.name,
        hostnameLabel: label,
        deployBranch: body.deployBranch,
        healthPath: body.healthPath,
      });
      await tellServiceChanged(trx, id);
      return {
        result: null,
        act: { action: "service.created", target: id, orgId: object.orgId, details: { name: body.name } },
      };
    });
  } catch (error) {
    const constraint = violatedConstraint(error);
    if (constraint === "services_hostname_label")
      throw new BerthError("name-taken", `the host name ${label}.${addresses.podDomain} is in use`, {
        cause: error,
      });
    if (constraint !== null)
      throw new BerthError(
        "name-taken",
        `there is already a service named ${body.name} in ${object.org}/${object.environment}`,
        { cause: error },
      );
    throw error;
  }
  outbox.wake();
  const service = await readService(db, id, addresses);
  if (service === undefined) throw notFound(`service ${body.name}`);
  return service;
}

async function scaleService({ db, outbox }: Given, { object, body, actor }: Asked<"scaleService">) {
  checkSizes(body.processes);
  if (body.processes.some(({ process, scale }) => process === RELEASE_PROCESS && (scale ?? 0) > 0))
    throw invalid("processes", "release runs once before each deploy and is not scaled");
  const answer = await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    const current = await readSettings(trx, service.id);
    const plan = planScale(current, body.processes);
    if (plan.kind === "unknown-process") {
      const known = current.map((setting) => setting.process).join(", ");
      throw new BerthError(
        "not-found",
        `${object.service} has no process named ${plan.process}; it has: ${known}`,
      );
    }
    await writeSettings(trx, service.id, plan.settings);
    const image = plan.sizesChanged ? await currentImage(trx, service) : undefined;
    const deployId = image === undefined ? null : newId("deploy");
    if (image !== undefined && deployId !== null) {
      await makeRelease(trx, service, image, {
        deployId,
        cause: "scale",
        description: `sizes of ${body.processes.map((p) => p.process).join(", ")}`,
        traceparent: traceparent(),
        stages: [],
      });
    }
    if (plan.countsChanged || plan.sizesChanged) await tellServiceChanged(trx, service.id);
    return {
      result: { processes: plan.settings, deployId },
      act: {
        action: "service.scaled",
        target: service.id,
        orgId: object.orgId,
        details: { processes: body.processes },
      },
    };
  });
  outbox.wake();
  return answer;
}

/** The contract's limits are the floor; what a job can be given is the ceiling. */
function checkSizes(changes: Asked<"scaleService">["body"]["processes"]): void {
  const fields = Resources.shape;
  for (const [index, change] of changes.entries()) {
    for (const name of ["memoryBytes", "cpuMillis", "diskBytes"] as const) {
      const parsed = fields[name].optional().safeParse(change[name]);
      if (!parsed.success)
        throw invalid(`processes.${index}.${name}`, parsed.error.issues[0]?.message ?? "is out of range");
    }
  }
}

async function tellServiceChanged(trx: Trx, serviceId: string): Promise<void> {
  await addToOutbox(trx, ServiceChanged, { serviceId: serviceId as ServiceId, revision: newId("decision") });
}
