/** Whether the hosts hold to a change of an environment's network, in words. */
import { say } from "../output/print.ts";

export const WAITING = "waiting for every host to hold to it";

/** @param isHeld undefined where there was nothing to hold to, or the pod is of an earlier version */
export function sayHeld(isHeld: boolean | undefined): void {
  if (isHeld === true) say("every host holds to it");
  if (isHeld === false)
    say(
      "stored; not every host said yet that it holds to it: it follows by itself, see `berth network show`",
    );
}
