/**
 * The three ways in which something crosses a process on NATS, and the registry of all of them.
 *
 *   event    a fact in the past tense, kept in a JetStream stream, emitted through the outbox, consumed by durables
 *   signal   a fact that may be lost (core NATS): live output, heartbeats, wake-ups that a period heals
 *   request  a verb with one answer and a deadline
 *
 * Subjects carry ids as tokens (`{hostId}`); a token must equal the payload's field of that name, checked at
 * both ends, and NATS permissions confine a host to its own token.
 */
import type { z } from "zod";

export const SERVICE_NAMES = [
  "api",
  "git",
  "builder",
  "scheduler",
  "agent",
  "secrets",
  "router",
  "network",
  "logshipper",
  "operator",
] as const;
/** `operator` is the person's tooling (`berth dead list`), not a process of the pod. */
export type ServiceName = (typeof SERVICE_NAMES)[number];

export type StreamName = "PUSH" | "BUILD" | "RELEASE" | "JOB" | "ROUTE" | "DEPLOY" | "DEAD";

interface ContractBase<P extends z.ZodType> {
  readonly name: string;
  readonly subject: string;
  readonly emittedBy: readonly ServiceName[];
  readonly consumedBy: readonly ServiceName[];
  readonly payload: P;
  /** One line for docs/EVENTS.md. */
  readonly about: string;
}

export interface EventContract<P extends z.ZodType = z.ZodType> extends ContractBase<P> {
  readonly kind: "event";
  readonly stream: StreamName;
  /** Sent as Nats-Msg-Id: the server drops a repeat inside the stream's duplicate window. */
  readonly dedupeId: (payload: z.infer<P>) => string;
}

export interface SignalContract<P extends z.ZodType = z.ZodType> extends ContractBase<P> {
  readonly kind: "signal";
}

export interface RequestContract<P extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType>
  extends ContractBase<P> {
  readonly kind: "request";
  readonly reply: R;
  readonly timeoutMs: number;
}

export type AnyContract = EventContract | SignalContract | RequestContract;

const registry = new Map<string, AnyContract>();

function register<C extends AnyContract>(contract: C): C {
  if (registry.has(contract.name)) throw new Error(`two contracts are named ${contract.name}`);
  registry.set(contract.name, contract);
  return contract;
}

export function defineEvent<P extends z.ZodType>(contract: Omit<EventContract<P>, "kind">): EventContract<P> {
  const made = { kind: "event" as const, ...contract };
  register(made as unknown as AnyContract);
  return made;
}

export function defineSignal<P extends z.ZodType>(
  contract: Omit<SignalContract<P>, "kind">,
): SignalContract<P> {
  const made = { kind: "signal" as const, ...contract };
  register(made as unknown as AnyContract);
  return made;
}

export function defineRequest<P extends z.ZodType, R extends z.ZodType>(
  contract: Omit<RequestContract<P, R>, "kind">,
): RequestContract<P, R> {
  const made = { kind: "request" as const, ...contract };
  register(made as unknown as AnyContract);
  return made;
}

/** Every contract whose module was imported; `contracts/all.ts` imports them all. */
export function contractRegistry(): readonly AnyContract[] {
  return [...registry.values()];
}

/** Names of the `{tokens}` of a subject, in order. */
export function subjectTokens(subject: string): string[] {
  return [...subject.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
}

const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Fills a subject's tokens from the payload's fields of the same names.
 * @throws Error when a field is missing or is not a legal token: a bug of the emitter
 */
export function fillSubject(subject: string, payload: object): string {
  return subject.replace(/\{(\w+)\}/g, (_all, name: string) => {
    const value = (payload as Record<string, unknown>)[name];
    if (typeof value !== "string" || !TOKEN.test(value)) {
      throw new Error(`subject ${subject}: the payload's ${name} is not a subject token`);
    }
    return value;
  });
}

/** The subject with `*` for every token that `known` does not name. */
export function subjectPattern(subject: string, known: Readonly<Record<string, string>> = {}): string {
  return subject.replace(/\{(\w+)\}/g, (_all, name: string) => known[name] ?? "*");
}

/** True when every token of `actual` equals the payload's field: nobody speaks for another. */
export function subjectMatches(subject: string, actual: string, payload: object): boolean {
  try {
    return fillSubject(subject, payload) === actual;
  } catch {
    return false;
  }
}
