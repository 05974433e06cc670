/**
 * Hosts by score, best first: a binary heap that knows where each host lies, so that one host's score can change.
 *
 * The highest score is first; equal ones go by the host's place, smallest first.
 */
export interface Scored {
  readonly index: number;
  readonly score: number;
}

/** @returns below 0 when `a` comes before `b` */
export function byScore(a: Scored, b: Scored): number {
  return b.score - a.score || a.index - b.index;
}

const NOWHERE = -1;

export class HostHeap {
  /** Hosts, as a heap. */
  readonly #order: number[] = [];
  /** By host. */
  readonly #scores: number[];
  readonly #places: number[];

  /** @param hostCount one more than the largest index */
  constructor(hostCount: number) {
    this.#scores = new Array<number>(hostCount).fill(0);
    this.#places = new Array<number>(hostCount).fill(NOWHERE);
  }

  set(index: number, score: number): void {
    const known = this.#places[index] as number;
    const place = known === NOWHERE ? this.#order.length : known;
    this.#scores[index] = score;
    this.#put(place, index);
    this.#settle(place);
  }

  remove(index: number): void {
    const place = this.#places[index] as number;
    if (place === NOWHERE) return;
    this.#places[index] = NOWHERE;
    const last = this.#order.pop() as number;
    if (last === index) return;
    this.#put(place, last);
    this.#settle(place);
  }

  /** The best `count` that are not in `without`, best first. */
  best(count: number, without: ReadonlySet<number>): Scored[] {
    const found: Scored[] = [];
    const frontier = this.#order.length === 0 ? [] : [0];
    while (frontier.length > 0 && found.length < count) {
      const place = frontier.pop() as number;
      const index = this.#order[place] as number;
      if (!without.has(index)) found.push({ index, score: this.#scores[index] as number });
      const left = 2 * place + 1;
      if (left < this.#order.length) this.#insert(frontier, left);
      if (left + 1 < this.#order.length) this.#insert(frontier, left + 1);
    }
    return found;
  }

  /** Whether host `a` comes before host `b`. */
  #isBefore(a: number, b: number): boolean {
    const [ofA, ofB] = [this.#scores[a] as number, this.#scores[b] as number];
    return ofA > ofB || (ofA === ofB && a < b);
  }

  /** Keeps the frontier sorted, the best last. It is short: as long as what is told and what is left out. */
  #insert(frontier: number[], place: number): void {
    const index = this.#order[place] as number;
    let at = frontier.length;
    frontier.push(place);
    while (at > 0 && !this.#isBefore(index, this.#order[frontier[at - 1] as number] as number)) {
      frontier[at] = frontier[at - 1] as number;
      at -= 1;
    }
    frontier[at] = place;
  }

  #put(place: number, index: number): void {
    this.#order[place] = index;
    this.#places[index] = place;
  }

  #settle(from: number): void {
    let place = from;
    const index = this.#order[place] as number;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.#order[parent] as number;
      if (this.#isBefore(above, index)) break;
      this.#put(place, above);
      place = parent;
    }
    for (;;) {
      const child = this.#betterChild(place);
      if (child === null || !this.#isBefore(this.#order[child] as number, index)) break;
      this.#put(place, this.#order[child] as number);
      place = child;
    }
    this.#put(place, index);
  }

  #betterChild(place: number): number | null {
    const left = 2 * place + 1;
    if (left >= this.#order.length) return null;
    const right = left + 1;
    const isRight =
      right < this.#order.length && this.#isBefore(this.#order[right] as number, this.#order[left] as number);
    return isRight ? right : left;
  }
}
