/**
 * The guards of the design that can be switched off, to prove that the simulator would notice. Each is a rule of the
 * services' own code; switched off means that the code is given such values that the rule never bites.
 */
export const GUARDS = {
  "agent-epoch":
    "an agent refuses an award of an epoch that is lower than the one it holds, or that it has answered already",
  "award-lease-at-agent": "an agent refuses an award whose lease has ended",
  "observation-order": "the record drops an observation with a lower epoch or an older sequence",
  "leader-fence": "a commit of a scheduler whose lease has passed to another one is rejected",
  "whole-set": "an agent stops nothing on a desired set that is not whole",
  strangers: "a host that reports jobs which the record does not know gets no whole set",
  "mass-silence": "when more than half of the hosts fall silent at once nobody is declared lost",
  "capacity-recheck": "what was awarded is reserved, and the agent checks its capacity again",
  "lease-before-reaward": "an unanswered award waits for the end of its lease and the host's word after it",
  "ledger-before-answer": "an accepted job is in the ledger before the answer leaves",
  "fresh-accept-grace": "a job accepted a moment ago is not stopped because a set does not name it",
  "late-heartbeat": "a host's list that was made before the record's last word on a job does not end the job",
  "orphan-grace": "a container that the ledger does not know is removed only by a fresh whole set",
  "single-writer-stop": "an agent stops a single writer when its lease ends",
  "single-writer-start":
    "an agent starts a single writer only under a lease, also after a restart or a power cut",
  "single-writer-wait": "a single writer is not replaced before its host's silence outlasted its lease",
  "single-writer-unknown":
    "a single writer whose host lost its record of it is not over while its container runs",
  "lease-from-beat":
    "a lease counts from when the answered heartbeat was sent, not from when the answer came",
  "stop-first": "a single writer ends before the next one of its slot starts",
} as const;

export type Guard = keyof typeof GUARDS;

export function isGuard(name: string): name is Guard {
  return Object.hasOwn(GUARDS, name);
}
