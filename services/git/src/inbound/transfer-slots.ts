/** Limits how many git processes run at once, in all and per org: one org's pushes cannot keep the others out. */
import { BerthError } from "@berth/shared/contracts/errors.ts";

export interface SlotLimits {
  readonly transfersCount: number;
  readonly orgTransfersCount: number;
}

interface Waiter {
  readonly orgId: string;
  readonly enter: () => void;
}

export class TransferSlots {
  readonly #limits: SlotLimits;
  readonly #byOrg = new Map<string, number>();
  #taken = 0;
  #waiters: Waiter[] = [];

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  /**
   * @returns what gives the slot back; calling it twice does no harm
   * @throws BerthError `too-many-requests` when none came free in time
   */
  async acquire(orgId: string, timeoutMs: number): Promise<() => void> {
    if (!this.#free(orgId)) await this.#wait(orgId, timeoutMs);
    else this.#take(orgId);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#giveBack(orgId);
    };
  }

  #free(orgId: string): boolean {
    return (
      this.#taken < this.#limits.transfersCount &&
      (this.#byOrg.get(orgId) ?? 0) < this.#limits.orgTransfersCount
    );
  }

  #take(orgId: string): void {
    this.#taken += 1;
    this.#byOrg.set(orgId, (this.#byOrg.get(orgId) ?? 0) + 1);
  }

  #wait(orgId: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        orgId,
        enter: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(
          new BerthError(
            "too-many-requests",
            `More than ${this.#limits.orgTransfersCount} pushes and fetches of your org run at once.`,
          ),
        );
      }, timeoutMs);
      this.#waiters.push(waiter);
    });
  }

  #giveBack(orgId: string): void {
    this.#taken -= 1;
    const left = (this.#byOrg.get(orgId) ?? 1) - 1;
    if (left === 0) this.#byOrg.delete(orgId);
    else this.#byOrg.set(orgId, left);
    const next = this.#waiters.find((waiter) => this.#free(waiter.orgId));
    if (next === undefined) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter !== next);
    this.#take(next.orgId);
    next.enter();
  }
}
