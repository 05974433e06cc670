/** Waits until the hosts of an environment hold to what was just stored for it. */
import { NetworkHeld } from "@berth/shared/contracts/network.ts";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";

const WAIT_MS = 5000;
const LOOK_EVERY_MS = 100;

/** @returns false when a host, or the network service, did not say so in time: it follows by itself */
export async function untilHeld(bus: Bus, id: string): Promise<boolean> {
  const environmentId = EnvironmentId.parse(id);
  const deadlineMs = performance.now() + WAIT_MS;
  while (bus.connected && performance.now() < deadlineMs) {
    const reply = await bus.request(NetworkHeld, { environmentId }).catch(() => null);
    if (reply?.isHeld === true) return true;
    await sleep(LOOK_EVERY_MS);
  }
  return false;
}
