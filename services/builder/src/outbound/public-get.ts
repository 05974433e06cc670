/**
 * A GET to a server that a customer named: HTTPS to public addresses only, also after a redirect.
 *
 * The address that was checked is the one that is connected to. A server that the operator named besides
 * (`alsoAllowed`, an origin such as `http://10.0.0.5:5000`) may be private and without TLS; nothing redirects to it.
 */
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { isPublicAddress } from "./public-address.ts";
import { resolvePublicHost } from "./public-host.ts";

const MOST_REDIRECTS = 5;
const SILENCE_MS = 30_000;

export class Refused extends Error {
  override name = "Refused";
}

export interface PublicGet {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Origins that the operator allows although they are not public. */
  readonly alsoAllowed: ReadonlySet<string>;
}

/** @returns the last answer, whatever its status, its body unread. @throws Refused for an address that is not public */
export async function publicGet(given: PublicGet): Promise<IncomingMessage> {
  let { url, headers } = given;
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const allowed = hops === 0 && given.alsoAllowed.has(url.origin);
    const answer = await getOnce(url, headers, given.signal, allowed);
    const location = answer.headers.location;
    if (location === undefined || ![301, 302, 303, 307, 308].includes(answer.statusCode ?? 0)) return answer;
    answer.destroy();
    const next = new URL(location, url);
    // A signed address of a store of blobs needs no token, and must not be shown one.
    if (next.origin !== url.origin)
      headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "authorization"));
    url = next;
  }
  throw new Refused(`${given.url.host} redirects more than ${String(MOST_REDIRECTS)} times`);
}

async function getOnce(
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  allowed: boolean,
): Promise<IncomingMessage> {
  const pinned = allowed ? null : await pin(url);
  const open = url.protocol === "https:" ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const options = { headers, signal, agent: false, timeout: SILENCE_MS };
    const call = open(url, pinned === null ? options : { ...options, lookup: pinned }, resolve);
    call.on("timeout", () =>
      call.destroy(new Refused(`${url.host} was silent for ${String(SILENCE_MS / 1000)} s`)),
    );
    call.on("error", reject);
    call.end();
  });
}

/** @returns a lookup that answers the checked address. @throws Refused */
async function pin(url: URL): Promise<LookupFunction> {
  if (url.protocol !== "https:") throw new Refused(`${url.host} is not asked without TLS`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const found =
    isIP(host) === 0
      ? await resolvePublicHost(host)
      : isPublicAddress(host)
        ? { kind: "address" as const, address: host }
        : { kind: "refused" as const, detail: `${host} is not on the public Internet` };
  if (found.kind === "refused") throw new Refused(found.detail);
  const { address } = found;
  const family = isIP(address);
  return (_host, options, done) => {
    if (options.all === true) done(null, [{ address, family }]);
    else done(null, address, family);
  };
}
