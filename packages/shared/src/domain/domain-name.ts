/**
 * Custom domains: names that customers bring along. Kept in one form only: lower case, ASCII (IDNA), no trailing dot,
 * a wildcard as `*.` before the rest. A wildcard covers exactly one label, as it does in a certificate.
 */
import { z } from "zod";

/** `_berth.` must fit before it. */
const LONGEST = 240;
const WRITTEN = /^[\p{L}\p{M}\p{N}.\-\u3002\uFF0E\uFF61_]+$/u;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** Ends of names that mean something else, or nothing, in the public DNS. */
const RESERVED = new Set(["localhost", "local", "internal", "invalid", "onion", "arpa", "lan", "home"]);

export type ParsedDomain =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "refused"; readonly reason: string };

const refused = (reason: string): ParsedDomain => ({ kind: "refused", reason });

/** Pure. Takes what a person writes, also with letters outside of ASCII. */
export function parseDomainName(text: string): ParsedDomain {
  const trimmed = text.trim();
  const isWildcard = trimmed.startsWith("*.");
  const written = (isWildcard ? trimmed.slice(2) : trimmed).replace(/\.$/, "");
  if (written.includes("*")) return refused("a wildcard may only be the first label, as in *.example.com");
  if (!WRITTEN.test(written)) return refused("must be a domain name such as www.example.com");
  const ascii = toAscii(written);
  if (ascii === null) return refused("is no valid internationalised name");
  const labels = ascii.split(".");
  if (labels.length < 2) return refused("must have at least two labels, as in example.com");
  if (!labels.every((label) => LABEL.test(label)))
    return refused("each label must be letters, digits and inner hyphens, at most 63");
  const last = labels.at(-1) ?? "";
  if (/^[0-9]/.test(last)) return refused("must be a name, not an address");
  if (RESERVED.has(last)) return refused(`names that end in .${last} are not in the public DNS`);
  const name = isWildcard ? `*.${ascii}` : ascii;
  return name.length > LONGEST ? refused(`must have at most ${LONGEST} characters`) : { kind: "name", name };
}

function toAscii(written: string): string | null {
  try {
    return new URL(`http://${written}`).hostname;
  } catch {
    return null;
  }
}

/** A domain as it is kept; what a person wrote in another form is brought into it. */
export const DomainName = z
  .string()
  .min(1)
  .max(1000)
  .transform((text, context) => {
    const parsed = parseDomainName(text);
    if (parsed.kind === "name") return parsed.name;
    context.addIssue({ code: "custom", message: parsed.reason });
    return z.NEVER;
  });

/** The name without its wildcard. */
export function baseOf(name: string): string {
  return name.startsWith("*.") ? name.slice(2) : name;
}

/** Whether requests for the host name `name` (no wildcard) may go where `pattern` leads. */
export function covers(pattern: string, name: string): boolean {
  if (pattern === name) return true;
  if (!pattern.startsWith("*.")) return false;
  const dot = name.indexOf(".");
  return dot > 0 && name.slice(dot + 1) === pattern.slice(2);
}

/** The wildcard that covers a host name. */
export function wildcardOf(name: string): string {
  return `*.${name.slice(name.indexOf(".") + 1)}`;
}

/** Whether some host name would be of both. */
export function overlaps(a: string, b: string): boolean {
  return covers(a, b) || covers(b, a);
}

/** Whether a name is the pod's own, below it, or would cover it. */
export function isOfPod(name: string, podDomain: string): boolean {
  const base = baseOf(name);
  return base === podDomain || base.endsWith(`.${podDomain}`) || covers(name, podDomain);
}

/** Where the proof of ownership stands; the same for a wildcard as for the name below it. */
export function proofName(name: string): string {
  return `_berth.${baseOf(name)}`;
}

export function proofValue(token: string): string {
  return `berth-verify=${token}`;
}
