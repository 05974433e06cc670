/** A value that must not be printed: every way of turning it into text says `***`. */
import { inspect } from "node:util";

export class Secret<T = string> {
  readonly #value: T;
  constructor(value: T) {
    this.#value = value;
  }
  /** The clear value; call it at the last moment. */
  reveal(): T {
    return this.#value;
  }
  toString(): string {
    return "***";
  }
  toJSON(): string {
    return "***";
  }
  [inspect.custom](): string {
    return "***";
  }
}
