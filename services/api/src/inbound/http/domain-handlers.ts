/** Custom domains: claimed, proved by DNS, released. The router makes those that are proved part of the route tables. */
import { randomBytes } from "node:crypto";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import { isOfPod } from "@berth/shared/domain/domain-name.ts";
import type { DomainJudgement } from "../../core/judge-domain.ts";
import { audited } from "../../outbound/audited.ts";
import {
  addClaim,
  readDomain,
  readDomains,
  releaseDomain,
  takeDomain,
  writeDomainSettings,
} from "../../outbound/domain-store.ts";
import type { Db } from "../../outbound/tables.ts";
import type { TxtRecords } from "../../outbound/txt-records.ts";
import { invalid, notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly podDomain: string;
  readonly txt: TxtRecords;
  readonly quarantineMs: number;
  readonly mostPerOrg: number;
}

type DomainHandlers = Pick<
  Handlers,
  "listDomains" | "addDomain" | "showDomain" | "verifyDomain" | "changeDomain" | "removeDomain"
>;

export function domainHandlers(given: Given): DomainHandlers {
  const { db } = given;
  return {
    listDomains: async ({ object }) => ({ domains: await readDomains(db, object.environmentId) }),
    addDomain: (asked) => add(given, asked),
    showDomain: ({ object, params }) => find(db, object.serviceId, params.domain),
    verifyDomain: (asked) => verify(given, asked),
    changeDomain: async ({ object, params, body, actor }) => {
      const { serviceId: target, orgId } = object;
      await audited(db, actor, async (trx) => {
        if (!(await writeDomainSettings(trx, target, params.domain, body)))
          throw notFound(`domain ${params.domain} of ${object.service}`);
        const details = { name: params.domain, ...body };
        return { result: null, act: { action: "domain.changed", target, orgId, details } };
      });
      return find(db, target, params.domain);
    },
    removeDomain: async ({ object, params, actor }) =>
      audited(db, actor, async (trx) => {
        if (!(await releaseDomain(trx, object.serviceId, params.domain)))
          throw notFound(`domain ${params.domain} of ${object.service}`);
        const { serviceId: target, orgId } = object;
        const act = { action: "domain.released", target, orgId, details: { name: params.domain } };
        return { result: { removed: true as const }, act };
      }),
  };
}

async function find(db: Db, serviceId: string, name: string): Promise<Domain> {
  const domain = await readDomain(db, serviceId, name);
  if (domain === undefined) throw notFound(`domain ${name} of this service`);
  return domain;
}

async function add(given: Given, { object, body: { name }, actor }: Asked<"addDomain">): Promise<Domain> {
  const { serviceId, orgId } = object;
  if (isOfPod(name, given.podDomain.toLowerCase()))
    throw invalid("name", `names of ${given.podDomain} are given by the pod itself`);
  await audited(given.db, actor, async (trx) => {
    const token = randomBytes(16).toString("hex");
    const outcome = await addClaim(trx, { name, orgId, serviceId }, token, given.mostPerOrg);
    if (outcome === "limit")
      throw new BerthError("limit-reached", `the org ${object.org} may have ${given.mostPerOrg} domains`);
    const act = { action: "domain.claimed", target: serviceId, orgId, details: { name } };
    return { result: outcome, act };
  });
  return find(given.db, serviceId, name);
}

async function verify(given: Given, { object, params, actor }: Asked<"verifyDomain">): Promise<Domain> {
  const { serviceId, orgId } = object;
  const domain = await find(given.db, serviceId, params.domain);
  if (domain.state === "verified") return domain;
  await requireProof(given.txt, domain);
  const claim = { name: domain.name, orgId, serviceId };
  await audited(given.db, actor, async (trx) => {
    refuseUnlessFree(domain.name, await takeDomain(trx, claim, Date.now(), given.quarantineMs));
    const act = { action: "domain.verified", target: serviceId, orgId, details: { name: domain.name } };
    return { result: null, act };
  });
  return find(given.db, serviceId, domain.name);
}

async function requireProof(txt: TxtRecords, { record }: Domain): Promise<void> {
  const answer = await txt.lookUp(record.name);
  if (answer.kind === "busy")
    throw new BerthError("too-many-requests", "too many domains are looked up at once");
  if (answer.kind === "failed")
    throw new BerthError("domain-not-proved", `DNS gave no answer for ${record.name} (${answer.reason})`);
  if (answer.kind === "none")
    throw new BerthError("domain-not-proved", `DNS has no TXT record ${record.name} yet`);
  if (!answer.values.includes(record.value))
    throw new BerthError(
      "domain-not-proved",
      `the TXT record ${record.name} has another value; ${record.value} is needed`,
    );
}

function refuseUnlessFree(name: string, judgement: DomainJudgement): void {
  switch (judgement.kind) {
    case "free":
    case "own":
      return;
    case "other-service":
      throw new BerthError("domain-taken", `another service of this org has ${name}: remove it there first`);
    case "taken":
      throw new BerthError("domain-taken", `another org has ${judgement.name}`);
    case "quarantined": {
      const until = new Date(judgement.untilMs).toISOString();
      throw new BerthError(
        "domain-taken",
        `another org released ${judgement.name}; it is free from ${until}`,
      );
    }
  }
}
