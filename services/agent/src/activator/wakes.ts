/**
 * Ends sleeps: here at once, when this host holds instances of the service, and at the scheduler, for as long as it takes.
 * What is woken here comes first: the control plane's work would take the processor from the start that somebody waits for.
 *
 * What must stay true: a sleep that this host ended in its ledger is ended, with or without the control plane; one that
 * it holds nothing of is ended by the scheduler's word alone.
 */
import { WakeService } from "@berth/shared/contracts/sleep.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";

const AGAIN_MS = 500;
/** The scheduler is asked at the latest so long after the host woke what it holds. */
const OWN_FIRST_MS = 1000;
const OWN_LOOK_MS = 50;
const TRIES = 1200;
/** Ended sleeps that are remembered; the oldest is forgotten first and asked for anew. */
const MOST_ENDED = 10_000;

export interface WakesGiven {
  readonly bus: Pick<Bus, "request">;
  readonly hostId: HostId;
  readonly log: Log;
  /** @returns true when this host holds instances and may wake them by itself */
  readonly wakeHere: (serviceId: string, epoch: number) => boolean;
  /** Whether an instance of the service that this host holds is ready. */
  readonly servesHere: (serviceId: string) => boolean;
  /** The route tables of this host are behind. */
  readonly isBehind: () => void;
  readonly changed: () => void;
}

export class Wakes {
  readonly #given: WakesGiven;
  readonly #ended = new Set<string>();
  readonly #asking = new Set<string>();
  readonly #closed = new AbortController();

  constructor(given: WakesGiven) {
    this.#given = given;
  }

  isEnded(serviceId: string, epoch: number): boolean {
    return this.#ended.has(`${serviceId}.${epoch}`);
  }

  /** May be asked often: a sleep that was ended, or is being asked for, is not asked for again. */
  end(serviceId: string, epoch: number): void {
    const key = `${serviceId}.${epoch}`;
    if (this.#ended.has(key) || this.#asking.has(key)) return;
    this.#asking.add(key);
    const isHere = this.#given.wakeHere(serviceId, epoch);
    if (isHere) this.#note(key);
    void (isHere ? this.#untilServed(serviceId) : Promise.resolve())
      .then(() => this.#ask(ServiceId.parse(serviceId), epoch))
      .finally(() => this.#asking.delete(key));
  }

  async #untilServed(serviceId: string): Promise<void> {
    for (let waitedMs = 0; waitedMs < OWN_FIRST_MS && !this.#closed.signal.aborted; waitedMs += OWN_LOOK_MS) {
      await sleep(OWN_LOOK_MS, this.#closed.signal);
      if (this.#given.servesHere(serviceId)) return;
    }
  }

  close(): void {
    this.#closed.abort();
  }

  async #ask(serviceId: ServiceId, epoch: number): Promise<void> {
    const { bus, hostId, log, isBehind, changed } = this.#given;
    for (let tries = 0; tries < TRIES && !this.#closed.signal.aborted; tries++) {
      try {
        const { outcome } = await bus.request(WakeService, { hostId, serviceId, epoch });
        log.info("service.wake-asked", { serviceId, epoch, outcome, tries });
        if (outcome === "other") isBehind();
        else this.#note(`${serviceId}.${epoch}`);
        return changed();
      } catch (error) {
        if (tries === 0)
          log.warn("service.wake-unanswered", { serviceId, epoch, error: describeError(error) });
        await sleep(AGAIN_MS, this.#closed.signal);
      }
    }
  }

  #note(key: string): void {
    this.#ended.add(key);
    const [oldest] = this.#ended;
    if (this.#ended.size > MOST_ENDED && oldest !== undefined) this.#ended.delete(oldest);
  }
}
