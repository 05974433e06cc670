/** Checks a request's token and finds the service it may use. The password is the token; the user name is ignored. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { UserId } from "@berth/shared/domain/ids.ts";
import { isTransient } from "@berth/shared/kit/database.ts";
import { Secret } from "@berth/shared/kit/secret.ts";
import type { GitTarget } from "../core/parse-git-url.ts";
import type { Directory, GitService } from "../outbound/directory.ts";

export interface Authorised {
  readonly userId: UserId;
  readonly service: GitService;
}

const TOKEN_CHARS = 500;

/** @throws BerthError `unauthenticated`, `not-found` or `unavailable` */
export async function authorise(
  directory: Directory,
  target: GitTarget,
  header: string | undefined,
  nowMs: number,
): Promise<Authorised> {
  try {
    const userId = await authenticate(directory, header, nowMs);
    const service = await directory.findService(userId, target);
    if (service !== null) return { userId, service };
    const name = `${target.org}/${target.environment}/${target.service}`;
    throw new BerthError("not-found", `There is no service ${name} that your token may use.`);
  } catch (cause) {
    if (isTransient(cause))
      throw new BerthError("unavailable", "Berth's records do not answer now.", { cause });
    throw cause;
  }
}

async function authenticate(
  directory: Directory,
  header: string | undefined,
  nowMs: number,
): Promise<UserId> {
  const token = readToken(header);
  if (token === null)
    throw new BerthError(
      "unauthenticated",
      "An API token is needed as the password; the user name is berth.",
    );
  const row = await directory.findToken(token);
  if (row === null) throw new BerthError("unauthenticated", "This API token is unknown.");
  if (row.revokedAt !== null)
    throw new BerthError("unauthenticated", `This API token was revoked on ${day(row.revokedAt)}.`);
  if (row.expiresAt !== null && row.expiresAt.getTime() <= nowMs) {
    throw new BerthError("unauthenticated", `This API token expired on ${day(row.expiresAt)}.`);
  }
  return row.userId;
}

function readToken(header: string | undefined): Secret | null {
  const encoded = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return null;
  const [, ...password] = Buffer.from(encoded, "base64").toString("utf8").split(":");
  const token = password.join(":");
  return token === "" || token.length > TOKEN_CHARS ? null : new Secret(token);
}

function day(at: Date): string {
  return at.toISOString().slice(0, 16).replace("T", " at ").concat(" UTC");
}
