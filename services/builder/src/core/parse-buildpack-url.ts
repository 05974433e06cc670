/**
 * Custom buildpacks: https git URLs with an optional `#ref`, one per line.
 *
 * What passes here is safe to hand to git as one argument: https only, no user or password, no odd port, a ref
 * that cannot be read as an option. Where the name points to is checked later, when it is resolved
 * (`isPublicAddress`), and the clone then connects to the checked address.
 */
import type { BuildFailure } from "./build-failure.ts";

export interface BuildpackRef {
  readonly url: string;
  readonly host: string;
  readonly ref: string | null;
}

export type BuildpackList =
  | { readonly kind: "refs"; readonly refs: readonly BuildpackRef[] }
  | { readonly kind: "refused"; readonly failure: BuildFailure };

const MAX_BUILDPACKS = 5;
const REF = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/;

export function parseBuildpackList(text: string): BuildpackList {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const wanted = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (wanted.length === 0) return refuse(".buildpacks names none");
  if (wanted.length > MAX_BUILDPACKS) return refuse(`more than ${String(MAX_BUILDPACKS)} of them`);
  const refs: BuildpackRef[] = [];
  for (const line of wanted) {
    const parsed = parseOne(line);
    if (typeof parsed === "string") return refuse(`\`${line.slice(0, 120)}\`: ${parsed}`);
    refs.push(parsed);
  }
  return { kind: "refs", refs };
}

function parseOne(line: string): BuildpackRef | string {
  if (!/^https:\/\//.test(line)) return "only https:// URLs are fetched";
  let url: URL;
  try {
    url = new URL(line);
  } catch {
    return "not a URL";
  }
  if (url.username !== "" || url.password !== "") return "it must not carry a user name or password";
  if (url.port !== "") return "only the standard https port is allowed";
  if (/[^a-z0-9.-]/.test(url.hostname) || !url.hostname.includes(".")) return "its host is not a public name";
  const ref = url.hash === "" ? null : decodeURIComponent(url.hash.slice(1));
  if (ref !== null && (!REF.test(ref) || ref.includes("..")))
    return "its #ref is not a branch, tag or commit name";
  return { url: `https://${url.hostname}${url.pathname}${url.search}`, host: url.hostname, ref };
}

function refuse(detail: string): BuildpackList {
  return { kind: "refused", failure: { code: "bad-buildpack", detail } };
}
