/** Who waits, and where the request came in. */
import type { ActivatorLine } from "@berth/shared/contracts/activator.ts";

export type Door = Omit<Extract<ActivatorLine, { say: "ask" }>, "say">;

export function doorKey({ hostname, environmentId }: Door): string {
  return `${environmentId ?? ""}/${hostname}`;
}
