/** Declares the streams of the contracts, idempotently, and reads back what the server made of them. */

import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { DiscardPolicy, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { StreamName } from "../contracts/event.ts";
import { STREAMS } from "../contracts/streams.ts";

const NANOS_PER_MS = 1_000_000;

/** @throws Error when the server made the stream otherwise than declared (an old nats-server ignores fields in silence) */
export async function ensureStream(manager: JetStreamManager, name: StreamName): Promise<void> {
  const contract = STREAMS.find((stream) => stream.name === name);
  if (contract === undefined) throw new Error(`no stream is named ${name}`);
  const config: Partial<StreamConfig> = {
    name,
    subjects: [...contract.subjects],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    max_age: contract.maxAgeMs * NANOS_PER_MS,
    max_bytes: contract.maxBytes,
    discard: contract.discard === "new" ? DiscardPolicy.New : DiscardPolicy.Old,
    duplicate_window: contract.duplicateWindowMs * NANOS_PER_MS,
  };
  const made = await manager.streams.info(name).catch(() => undefined);
  const info = made ?? (await manager.streams.add({ ...config, name }));
  if (info.config.discard !== config.discard || info.config.max_bytes !== config.max_bytes) {
    await manager.streams.update(name, config);
  }
}

export async function ensureStreams(connection: NatsConnection, names: readonly StreamName[]): Promise<void> {
  const manager = await jetstreamManager(connection);
  for (const name of names) await ensureStream(manager, name);
}
