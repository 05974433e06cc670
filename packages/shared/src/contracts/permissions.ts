/**
 * NATS permissions, derived from the contracts: allow-lists only, never deny rules.
 *
 * Replies go to the asker's own inbox (`_INBOX.<service>` or `_INBOX.<service>.<hostId>`), so no process can read
 * another's answers. A host's agent and logshipper may use only subjects that carry the host's id.
 */
import { contractRegistry } from "./all.ts";
import type { AnyContract, ServiceName, StreamName } from "./event.ts";
import { subjectPattern } from "./event.ts";

export interface Permissions {
  readonly publish: string[];
  readonly subscribe: string[];
}

/** Prefix of a client's reply inboxes. Host processes use their host's id, control-plane services their name. */
export function inboxPrefix(service: ServiceName, hostId?: string): string {
  return hostId === undefined ? `_INBOX.${service}` : `_INBOX.${service}.${hostId}`;
}

const ON_HOSTS: ReadonlySet<ServiceName> = new Set(["agent", "logshipper"]);

/**
 * @param hostId needed for `agent` and `logshipper`: every `{hostId}` and `{source}` token is confined to it
 */
export function permissionsFor(service: ServiceName, hostId?: string): Permissions {
  if (ON_HOSTS.has(service) !== (hostId !== undefined))
    throw new Error(`${service}: a host id is for host processes`);
  const known: Record<string, string> =
    hostId === undefined ? { source: service } : { hostId, source: hostId };
  const publish = new Set<string>();
  const subscribe = new Set<string>([`${inboxPrefix(service, hostId)}.>`]);
  for (const contract of contractRegistry()) {
    if (contract.emittedBy.includes(service)) publish.add(subjectPattern(contract.subject, known));
    if (contract.consumedBy.includes(service)) addConsumer(contract, service, known, publish, subscribe);
  }
  if (hostId === undefined) for (const subject of jetStreamApi(service)) publish.add(subject);
  return { publish: [...publish].sort(), subscribe: [...subscribe].sort() };
}

function addConsumer(
  contract: AnyContract,
  service: ServiceName,
  known: Record<string, string>,
  publish: Set<string>,
  subscribe: Set<string>,
): void {
  if (contract.kind === "event") return; // pulled through the JetStream API, answered to the inbox
  subscribe.add(subjectPattern(contract.subject, ON_HOSTS.has(service) ? known : {}));
  if (contract.kind !== "request") return;
  for (const asker of contract.emittedBy) {
    publish.add(ON_HOSTS.has(asker) ? `_INBOX.${asker}.*.>` : `${inboxPrefix(asker)}.>`);
  }
}

/** The streams that a control-plane service emits to or consumes from, and the one for dead letters. */
export function streamsOf(service: ServiceName): StreamName[] {
  const streams = new Set<StreamName>(["DEAD"]);
  for (const contract of contractRegistry()) {
    if (contract.kind !== "event") continue;
    if (contract.emittedBy.includes(service) || contract.consumedBy.includes(service))
      streams.add(contract.stream);
  }
  return [...streams];
}

/** The part of the JetStream API that a control-plane service needs: its own streams and durables. */
function jetStreamApi(service: ServiceName): string[] {
  return [
    "$JS.API.INFO",
    `berth.v1.dead.${service}.>`,
    ...streamsOf(service).flatMap((stream) => [
      `$JS.API.STREAM.INFO.${stream}`,
      `$JS.API.STREAM.CREATE.${stream}`,
      `$JS.API.STREAM.UPDATE.${stream}`,
      `$JS.API.STREAM.MSG.GET.${stream}`,
      `$JS.API.CONSUMER.CREATE.${stream}.>`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.>`,
      `$JS.API.CONSUMER.INFO.${stream}.>`,
      `$JS.API.CONSUMER.DELETE.${stream}.>`,
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.>`,
      `$JS.ACK.${stream}.>`,
    ]),
  ];
}
