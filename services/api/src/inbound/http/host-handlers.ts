/** Hosts: their list, the tokens they join with, and the joining itself. */
import { readFileSync } from "node:fs";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { GetHostUsage } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { readAlarms } from "../../outbound/alarm-store.ts";
import { audited } from "../../outbound/audited.ts";
import type { HostSigner } from "../../outbound/host-credentials.ts";
import { readHostIdentity, readHostJobs } from "../../outbound/host-details-store.ts";
import { changeHostPolicy, noHost, removeHost } from "../../outbound/host-policy-store.ts";
import { addHost, readHosts, spendJoinToken, storeJoinToken } from "../../outbound/host-store.ts";
import { mustBePod } from "../../outbound/pod-store.ts";
import type { Db, Trx } from "../../outbound/tables.ts";
import { violatedConstraint } from "../../outbound/tables.ts";
import type { Asked, Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

export interface HostGiven {
  readonly db: Db;
  readonly bus: Bus;
  readonly signer: HostSigner;
  readonly natsPublicUrl: string;
  readonly registry: string;
  readonly podDomain: string;
  readonly hostCidr: string;
  readonly caFile: string;
  /** Tells the neighbours. */
  readonly peersChanged: () => void;
  /** Takes a removed host's credentials back. */
  readonly hostRemoved: () => void;
}

type HostRoute =
  | "listAlarms"
  | "listHosts"
  | "showHost"
  | "hostUsage"
  | "changeHost"
  | "removeHost"
  | "createJoinToken"
  | "joinHost";

export function hostHandlers(given: HostGiven): Pick<Handlers, HostRoute> {
  const { db } = given;
  return {
    listAlarms: async ({ query }) => ({ alarms: await readAlarms(db, query.all === "1", query.limit) }),
    listHosts: async () => ({ hosts: await readHosts(db) }),
    changeHost: async ({ params, body, actor }) => {
      await audited(db, actor, async (trx) => {
        const hostId = await changeHostPolicy(trx, params.host, body);
        return { result: null, act: { action: "host.changed", target: hostId, orgId: null, details: body } };
      });
      return mustReadHost(db, params.host);
    },
    showHost: async ({ params }) => {
      const host = await mustReadHost(db, params.host);
      const [identity, jobs] = await Promise.all([readHostIdentity(db, host.id), readHostJobs(db, host.id)]);
      return { host, ...identity, jobs };
    },
    hostUsage: ({ params }) => hostUsage(given, params.host),
    removeHost: async ({ params, query, actor }) => {
      await audited(db, actor, async (trx) => {
        const hostId = await removeHost(trx, params.host, query.force === "1");
        return {
          result: null,
          act: { action: "host.removed", target: hostId, orgId: null, details: { force: query.force } },
        };
      });
      given.hostRemoved();
      given.peersChanged();
      return { removed: true as const };
    },
    createJoinToken: async ({ body, caller, actor }) => {
      const expiresAt = new Date(Date.now() + body.lifetimeMinutes * 60_000);
      const { pod, zone = null } = body;
      const token = await audited(db, actor, async (trx) => {
        await mustBePod(trx, pod);
        const result = await storeJoinToken(trx, { createdBy: caller.userId, expiresAt, pod, zone });
        return {
          result,
          act: { action: "join-token.created", target: pod, orgId: null, details: { expiresAt, pod, zone } },
        };
      });
      return { token, expiresAt: expiresAt.toISOString(), pod };
    },
    joinHost: (asked) => joinHost(given, asked),
  };
}

async function mustReadHost(db: Db, name: string) {
  const host = (await readHosts(db)).find((one) => one.name === name);
  if (host === undefined) throw noHost(name);
  return host;
}

/** @throws BerthError `unavailable` when the host does not answer in time */
async function hostUsage({ db, bus }: HostGiven, name: string): Promise<Reply<"hostUsage">> {
  const host = await mustReadHost(db, name);
  const [usage, jobs] = await Promise.all([
    bus.request(GetHostUsage, { hostId: host.id as HostId }),
    readHostJobs(db, host.id),
  ]);
  const known = new Map(jobs.map((job) => [job.jobId as string, job]));
  return {
    ...usage,
    jobs: usage.jobs.map((one) => {
      const job = known.get(one.jobId);
      if (job === undefined) return { ...one, org: "", service: "unknown", instance: one.jobId };
      return { ...one, org: job.org, service: job.service, instance: `${job.process}.${job.slot}` };
    }),
  };
}

async function joinHost(given: HostGiven, asked: Asked<"joinHost">): Promise<Reply<"joinHost">> {
  try {
    const reply = await tryJoin(given, asked);
    given.peersChanged();
    return reply;
  } catch (cause) {
    if (violatedConstraint(cause) !== "hosts_name") throw cause;
    throw new BerthError("name-taken", `there is already a host named ${asked.body.name}`, { cause });
  }
}

/** One transaction: the token is spent only when the host is there and its credentials were signed. */
async function tryJoin(given: HostGiven, { body, actor }: Asked<"joinHost">): Promise<Reply<"joinHost">> {
  const hostId = newId("host");
  return audited(given.db, actor, async (trx) => {
    const spent = await spendJoinToken(trx, body.token);
    await refuseKnownKey(trx, body.agentKey);
    const zone = body.zone ?? spent.zone ?? "default";
    const subnet = await addHost(trx, { ...body, zone, pod: spent.pod, id: hostId }, given.hostCidr);
    const result = {
      hostId,
      name: body.name,
      podId: given.signer.podId,
      nodeAddress: body.nodeAddress,
      subnet,
      zone,
      natsUrl: given.natsPublicUrl,
      agentJwt: await sign(given, "agent", hostId, body.agentKey),
      logshipperJwt: await sign(given, "logshipper", hostId, body.logshipperKey),
      registry: given.registry,
      podDomain: given.podDomain,
      caCertificatePem: readFileSync(given.caFile, "utf8"),
    };
    const { name, nodeAddress } = body;
    const details = { name, nodeAddress, subnet, pod: spent.pod, zone, invitedBy: spent.createdBy };
    return { result, act: { action: "host.joined", target: hostId, orgId: null, details } };
  });
}

/** A host is its key: two rows of one key would be one machine with two names. */
async function refuseKnownKey(trx: Trx, agentKey: string): Promise<void> {
  const known = await trx
    .selectFrom("hosts")
    .select("name")
    .where("agent_key", "=", agentKey)
    .where("removed_at", "is", null)
    .executeTakeFirst();
  if (known === undefined) return;
  throw new BerthError(
    "conflict",
    `this machine's key is that of the host ${known.name}; a copied disk needs new keys: remove its host folder and join again`,
  );
}

/** A key of the right form may still have a wrong checksum. */
async function sign(
  given: HostGiven,
  service: "agent" | "logshipper",
  hostId: string,
  publicKey: string,
): Promise<string> {
  try {
    return await given.signer.sign(service, hostId, publicKey);
  } catch (cause) {
    throw new BerthError("invalid-input", `${service}Key: is not a public key`, { cause });
  }
}
