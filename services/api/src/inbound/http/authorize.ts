/** Who asks, and whether they may: the token first, then the named object together with the membership. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import { assertNever } from "@berth/shared/domain/assert.ts";
import type { Caller, OrgReach } from "../../outbound/reach-store.ts";
import {
  findBuild,
  findCaller,
  findDeploy,
  findEnvironment,
  findOrg,
  findService,
} from "../../outbound/reach-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Reach } from "./routes.ts";

const TOKEN = /^Bearer (berth_[0-9a-f]{40})$/;

/** @returns the token of an Authorization header, or undefined when there is none of our form */
export function bearerToken(header: string | undefined): string | undefined {
  return TOKEN.exec(header ?? "")?.[1];
}

/** @throws BerthError `unauthenticated` */
export async function authenticate(db: Db, token: string | undefined): Promise<Caller> {
  const caller = token === undefined ? undefined : await findCaller(db, token);
  if (caller === undefined)
    throw new BerthError("unauthenticated", "the token is missing, unknown, expired or revoked");
  return caller;
}

type Named = Readonly<Record<string, string>>;

/**
 * @returns the object that the path names, or null where it names none
 * @throws BerthError `not-found` for what is outside the caller's orgs, `forbidden` for a role that is not enough
 */
export async function authorize(
  db: Db,
  caller: Caller,
  route: Pick<HttpRoute, "role">,
  reach: Exclude<Reach, "anyone">,
  params: Named,
): Promise<OrgReach | null> {
  if (reach === "self" || reach === "pod") {
    if (route.role === "operator" && !caller.isOperator)
      throw new BerthError("forbidden", "only operators of the pod may do this");
    return null;
  }
  const object = await find(db, caller.userId, reach, params);
  if (object === undefined) throw notFound(describe(reach, params));
  if (route.role === "owner" && object.role !== "owner") {
    throw new BerthError("forbidden", `only owners of the org ${object.org} may do this`);
  }
  return object;
}

async function find(
  db: Db,
  userId: string,
  reach: "org" | "environment" | "service" | "deploy" | "build",
  params: Named,
): Promise<OrgReach | undefined> {
  const { org = "", environment = "", service = "", deployId = "", buildId = "" } = params;
  switch (reach) {
    case "org":
      return findOrg(db, userId, org);
    case "environment":
      return findEnvironment(db, userId, { org, environment });
    case "service":
      return findService(db, userId, { org, environment, service });
    case "deploy":
      return findDeploy(db, userId, deployId);
    case "build":
      return findBuild(db, userId, buildId);
    default:
      return assertNever(reach);
  }
}

function describe(reach: Reach, params: Named): string {
  const { org, environment, service, deployId, buildId } = params;
  if (reach === "deploy") return `deploy ${deployId}`;
  if (reach === "build") return `build ${buildId}`;
  if (reach === "service") return `service ${service} in ${org}/${environment}`;
  if (reach === "environment") return `environment ${org}/${environment}`;
  return `org ${org}`;
}
