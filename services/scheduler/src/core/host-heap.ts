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

export class HostHeap {
  readonly #order: Scored[] = [];
  readonly #placeOf = new Map<number, number>();

  set(index: number, score: number): void {
    const place = this.#placeOf.get(index) ?? this.#order.length;
    this.#put(place, { index, score });
    this.#settle(place);
  }

  remove(index: number): void {
    const place = this.#placeOf.get(index);
    if (place === undefined) return;
    this.#placeOf.delete(index);
    const last = this.#order.pop() as Scored;
    if (last.index === index) return;
    this.#put(place, last);
    this.#settle(place);
  }

  /** The best `count` that are not in `without`, best first. */
  best(count: number, without: ReadonlySet<number>): Scored[] {
    const found: Scored[] = [];
    const frontier = this.#order.length === 0 ? [] : [0];
    while (frontier.length > 0 && found.length < count) {
      const place = frontier.pop() as number;
      const one = this.#order[place] as Scored;
      if (!without.has(one.index)) found.push(one);
      for (const child of [2 * place + 1, 2 * place + 2])
        if (child < this.#order.length) this.#insert(frontier, child);
    }
    return found;
  }

  /** Keeps the frontier sorted, the best last. It is short: as long as what is told and what is left out. */
  #insert(frontier: number[], place: number): void {
    const one = this.#order[place] as Scored;
    let at = frontier.length;
    while (at > 0 && byScore(this.#order[frontier[at - 1] as number] as Scored, one) < 0) at -= 1;
    frontier.splice(at, 0, place);
  }

  #put(place: number, one: Scored): void {
    this.#order[place] = one;
    this.#placeOf.set(one.index, place);
  }

  #settle(from: number): void {
    let place = from;
    const one = this.#order[place] as Scored;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.#order[parent] as Scored;
      if (byScore(above, one) < 0) break;
      this.#put(place, above);
      place = parent;
    }
    for (;;) {
      const child = this.#betterChild(place);
      if (child === null || byScore(this.#order[child] as Scored, one) >= 0) break;
      this.#put(place, this.#order[child] as Scored);
      place = child;
    }
    this.#put(place, one);
  }

  #betterChild(place: number): number | null {
    const left = this.#order[2 * place + 1];
    const right = this.#order[2 * place + 2];
    if (left === undefined) return null;
    return right !== undefined && byScore(right, left) < 0 ? 2 * place + 2 : 2 * place + 1;
  }
}
