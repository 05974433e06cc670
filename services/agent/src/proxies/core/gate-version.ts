/** Which version of an environment's table this host serves: its edge and the proxies that edges may use, together. Pure. */
import type { SeenProxy } from "./plan-proxies.ts";

export interface GateFacts {
  /** It is known what runs here. */
  readonly isOpen: boolean;
  /** The newest table sends edges to a proxy of this host. */
  readonly isNamed: boolean;
  /** The router is told of one, or would be. */
  readonly isTold: boolean;
  /** `version`: of the table that it was seen to serve; null for none. */
  readonly proxies: readonly (Pick<SeenProxy, "phase"> & { readonly version: number | null })[];
}

/** @returns 0 for none */
export function gateVersion({ isOpen, isNamed, isTold, proxies }: GateFacts, edgeVersion: number): number {
  if (!isOpen && isNamed) return 0;
  if (!isTold) return edgeVersion;
  const used = proxies.filter(({ phase }) => phase === "serving" || phase === "leaving");
  if (used.length === 0) return 0;
  return Math.min(edgeVersion, ...used.map(({ version }) => version ?? 0));
}
