/**
 * Which containers share a shim, containerd's process beside each of them, which has more memory than a small app and wakes
 * twice a minute to give some back. One that is killed ends all that it has, so nothing is shared between environments; it
 * starts one container at a time, so an environment has several. Engines before Docker 24 do not know the annotation.
 */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";

const SHIMS_PER_ENVIRONMENT = 4;

/** Annotations of a container of runc, at an address of its environment's network on this host. */
export function shimGroup(environmentId: EnvironmentId, address: string): Record<string, string> {
  const number = Number(address.split(".").at(-1)) % SHIMS_PER_ENVIRONMENT;
  return { "io.containerd.runc.v2.group": `${environmentId}.${number}` };
}
