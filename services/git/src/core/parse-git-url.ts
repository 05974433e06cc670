/** Which service's repository a request means and what it wants of it. Anything but smart HTTP is unknown. */
import { EnvironmentName, OrgName, ServiceName } from "@berth/shared/domain/names.ts";

export type GitOperation = "upload-pack" | "receive-pack";

export interface GitTarget {
  readonly kind: "git";
  readonly org: string;
  readonly environment: string;
  readonly service: string;
  readonly operation: GitOperation;
  /** `advertise` lists refs, `transfer` moves objects. */
  readonly phase: "advertise" | "transfer";
}

export type GitUrl = GitTarget | { readonly kind: "unknown"; readonly reason: string };

const unknown = (reason: string): GitUrl => ({ kind: "unknown", reason });
const SHAPE = /^\/([^/]+)\/([^/]+)\/([^/]+?)(?:\.git)?\/(info\/refs|git-upload-pack|git-receive-pack)$/;

/**
 * @param basePath path of the public URL without a slash at its end; most often empty
 * @param target the request line's path and query
 */
export function parseGitUrl(method: string, target: string, basePath: string): GitUrl {
  const [path = "", query = ""] = target.split("?", 2);
  const match = path.startsWith(basePath) ? SHAPE.exec(path.slice(basePath.length)) : null;
  if (match === null) return unknown("a repository's URL ends with /ORG/ENVIRONMENT/SERVICE.git");
  const [, org = "", environment = "", service = "", endpoint = ""] = match;
  const named =
    OrgName.safeParse(org).success &&
    EnvironmentName.safeParse(environment).success &&
    ServiceName.safeParse(service).success;
  if (!named) return unknown("there is no service of that name");
  if (endpoint === "info/refs") return parseAdvertise(method, query, { org, environment, service });
  if (method !== "POST") return unknown("git talks to this address by POST");
  const operation = endpoint === "git-upload-pack" ? "upload-pack" : "receive-pack";
  return { kind: "git", org, environment, service, operation, phase: "transfer" };
}

function parseAdvertise(
  method: string,
  query: string,
  names: Pick<GitTarget, "org" | "environment" | "service">,
): GitUrl {
  const asked = new URLSearchParams(query).get("service");
  if (method !== "GET") return unknown("git talks to this address by GET");
  if (asked === "git-upload-pack")
    return { kind: "git", ...names, operation: "upload-pack", phase: "advertise" };
  if (asked === "git-receive-pack")
    return { kind: "git", ...names, operation: "receive-pack", phase: "advertise" };
  return unknown("this git client is too old: smart HTTP (git 1.6.6 or newer) is needed");
}
