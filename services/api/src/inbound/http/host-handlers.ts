/** Hosts: their list, the tokens they join with, and the joining itself. */
import { readFileSync } from "node:fs";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { audited } from "../../outbound/audited.ts";
import type { HostSigner } from "../../outbound/host-credentials.ts";
import { changeHostPolicy, noHost, removeHost } from "../../outbound/host-policy-store.ts";
import { addHost, readHosts, spendJoinToken, storeJoinToken } from "../../outbound/host-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { violatedConstraint } from "../../outbound/tables.ts";
import type { Asked, Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

export interface HostGiven {
  readonly db: Db;
  readonly signer: HostSigner;
  readonly natsPublicUrl: string;
  readonly registry: string;
  readonly podDomain: string;
  readonly podCidr: string;
  readonly caFile: string;
  /** Tells the neighbours. */
  readonly peersChanged: () => void;
}

/** Joins at the same moment choose the same subnet; all but one try again. */
const JOIN_ATTEMPTS = 20;

type HostRoute = "listHosts" | "changeHost" | "removeHost" | "createJoinToken" | "joinHost";

export function hostHandlers(given: HostGiven): Pick<Handlers, HostRoute> {
  const { db } = given;
  return {
    listHosts: async () => ({ hosts: await readHosts(db) }),
    changeHost: async ({ params, body, actor }) => {
      await audited(db, actor, async (trx) => {
        const hostId = await changeHostPolicy(trx, params.host, body);
        return { result: null, act: { action: "host.changed", target: hostId, orgId: null, details: body } };
      });
      const host = (await readHosts(db)).find((one) => one.name === params.host);
      if (host === undefined) throw noHost(params.host);
      return host;
    },
    removeHost: async ({ params, query, actor }) => {
      await audited(db, actor, async (trx) => {
        const hostId = await removeHost(trx, params.host, query.force === "1");
        return {
          result: null,
          act: { action: "host.removed", target: hostId, orgId: null, details: { force: query.force } },
        };
      });
      given.peersChanged();
      return { removed: true as const };
    },
    createJoinToken: async ({ body, caller, actor }) => {
      const expiresAt = new Date(Date.now() + body.lifetimeMinutes * 60_000);
      const token = await audited(db, actor, async (trx) => ({
        result: await storeJoinToken(trx, caller.userId, expiresAt),
        act: { action: "join-token.created", target: "pod", orgId: null, details: { expiresAt } },
      }));
      return { token, expiresAt: expiresAt.toISOString() };
    },
    joinHost: (asked) => joinHost(given, asked),
  };
}

async function joinHost(given: HostGiven, asked: Asked<"joinHost">): Promise<Reply<"joinHost">> {
  for (let attempt = 1; ; attempt++) {
    try {
      const reply = await tryJoin(given, asked);
      given.peersChanged();
      return reply;
    } catch (error) {
      const constraint = violatedConstraint(error);
      if (constraint === "hosts_name") {
        throw new BerthError("name-taken", `there is already a host named ${asked.body.name}`, {
          cause: error,
        });
      }
      if (constraint !== "hosts_subnet_free" || attempt === JOIN_ATTEMPTS) throw error;
    }
  }
}

/** One transaction: the token is spent only when the host is there and its credentials were signed. */
async function tryJoin(given: HostGiven, { body, actor }: Asked<"joinHost">): Promise<Reply<"joinHost">> {
  const hostId = newId("host");
  return audited(given.db, actor, async (trx) => {
    const spent = await spendJoinToken(trx, body.token);
    const subnet = await addHost(trx, { ...body, id: hostId }, given.podCidr);
    const result = {
      hostId,
      name: body.name,
      podId: given.signer.podId,
      nodeAddress: body.nodeAddress,
      subnet,
      zone: body.zone,
      natsUrl: given.natsPublicUrl,
      agentJwt: await sign(given, "agent", hostId, body.agentKey),
      logshipperJwt: await sign(given, "logshipper", hostId, body.logshipperKey),
      registry: given.registry,
      podDomain: given.podDomain,
      caCertificatePem: readFileSync(given.caFile, "utf8"),
    };
    const details = { name: body.name, nodeAddress: body.nodeAddress, subnet, invitedBy: spent.createdBy };
    return { result, act: { action: "host.joined", target: hostId, orgId: null, details } };
  });
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
