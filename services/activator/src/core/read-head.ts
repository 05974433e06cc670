/**
 * The head of a request, as far as the activator must understand it: whose it is. The rest is the app's business.
 *
 * What must stay true: it takes the same host name as the edge took, or none. Two `Host` lines are refused: the edge
 * looks at the last one, and an app may look at the first.
 */

/** The edge passes at most about 14 KiB. */
export const HEAD_BYTES = 16 * 1024;

export type Head =
  | { readonly kind: "partial" }
  | { readonly kind: "refused"; readonly reason: "too-long" | "no-host" | "two-hosts" }
  | { readonly kind: "whole"; readonly hostname: string };

/** @param bytes all that came so far */
export function readHead(bytes: Buffer): Head {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0)
    return bytes.length > HEAD_BYTES ? { kind: "refused", reason: "too-long" } : { kind: "partial" };
  if (end > HEAD_BYTES) return { kind: "refused", reason: "too-long" };
  const lines = bytes.toString("latin1", 0, end).split("\r\n").slice(1);
  const hosts = lines.filter((line) => /^host\s*:/i.test(line));
  if (hosts.length > 1) return { kind: "refused", reason: "two-hosts" };
  const hostname = normalHost(hosts[0]?.slice(hosts[0].indexOf(":") + 1) ?? "");
  return hostname === "" ? { kind: "refused", reason: "no-host" } : { kind: "whole", hostname };
}

/** As the edge does it: without the port, in lower case, without dots at the end. */
function normalHost(text: string): string {
  return (text.trim().split(":")[0] ?? "").toLowerCase().replace(/\.+$/, "").slice(0, 253);
}
