/** What the engine's streams are made of: events as lines of JSON, logs as frames. */

export interface EngineEvent {
  readonly jobId: string;
  readonly action: string;
  readonly containerId: string;
  /** When it happened, by the engine's clock. */
  readonly atMs: number;
}

/** @returns null for what is no event of a job: a hint that cannot be read is no hint */
export function parseEvent(line: string): EngineEvent | null {
  if (line.trim() === "") return null;
  try {
    const event = JSON.parse(line) as {
      Action?: string;
      timeNano?: number;
      Actor?: { ID?: string; Attributes?: Record<string, string> };
    };
    const jobId = event.Actor?.Attributes?.["berth.job"];
    if (jobId === undefined || event.Action === undefined) return null;
    const atMs = Math.floor((event.timeNano ?? 0) / 1e6);
    return { jobId, action: event.Action, containerId: event.Actor?.ID ?? "", atMs };
  } catch {
    return null;
  }
}

/** Docker's frames are 8 bytes of head (stream, 0, 0, 0, length) and then the bytes. */
export function splitFrames(raw: Buffer): string[] {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= raw.length; ) {
    const length = raw.readUInt32BE(at + 4);
    parts.push(raw.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  const lines = Buffer.concat(parts).toString("utf8").split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.replace(/\r$/, "").slice(0, 2000));
}
