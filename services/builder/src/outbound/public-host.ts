/**
 * Resolves a host name that a customer wrote, and answers an address that may be connected to.
 *
 * All of the name's addresses must be public. The caller connects to exactly the address that was checked
 * (git's `http.curloptResolve`), so a name that changes its answer in between gains nothing.
 */
import { lookup } from "node:dns/promises";
import { isPublicAddress } from "./public-address.ts";

export type PublicHost =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "refused"; readonly detail: string };

const LOOKUP_TIMEOUT_MS = 10_000;

export async function resolvePublicHost(host: string): Promise<PublicHost> {
  let addresses: readonly { address: string }[];
  try {
    const late = new Promise<never>((_resolve, reject) => {
      setTimeout(() => reject(new Error("timed out")), LOOKUP_TIMEOUT_MS).unref();
    });
    addresses = await Promise.race([lookup(host, { all: true, verbatim: true }), late]);
  } catch {
    return { kind: "refused", detail: `${host} has no address` };
  }
  const [first] = addresses;
  if (first === undefined || addresses.some((entry) => !isPublicAddress(entry.address))) {
    return { kind: "refused", detail: `${host} is not on the public Internet` };
  }
  return { kind: "address", address: first.address };
}
