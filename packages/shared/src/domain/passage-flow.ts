/**
 * What one end of a passage may send, and whether what it is sent is whole.
 *
 * Pure. Each direction has a window: no more than so many bytes are under way or wait at the other end, so the memory
 * of both ends and of all between them is bounded by it, however slow the reader is.
 */

/** 5 MB/s at 50 ms there and back, and 256 MB/s at 1 ms. */
export const WINDOW_BYTES = 256 * 1024;
export const FRAME_BYTES = 32 * 1024;
/** The other end is told what was consumed when it is this much more than it knows. */
const CREDIT_BYTES = WINDOW_BYTES / 4;

export interface Flow {
  readonly nextOut: number;
  readonly sentBytes: number;
  /** What the other end passed on of it. */
  readonly takenBytes: number;
  readonly nextIn: number;
  readonly receivedBytes: number;
  /** What this end passed on of it. */
  readonly consumedBytes: number;
  /** What the other end was told of that. */
  readonly toldBytes: number;
}

export const NEW_FLOW: Flow = {
  ...{ nextOut: 0, sentBytes: 0, takenBytes: 0 },
  ...{ nextIn: 0, receivedBytes: 0, consumedBytes: 0, toldBytes: 0 },
};

/** How many bytes may be sent now; never negative. */
export function roomBytes({ sentBytes, takenBytes }: Flow): number {
  return WINDOW_BYTES - (sentBytes - takenBytes);
}

/** A frame with so many bytes leaves; it tells what was consumed. */
export function sending(flow: Flow, dataBytes: number): Flow {
  const { nextOut, sentBytes, consumedBytes } = flow;
  return { ...flow, nextOut: nextOut + 1, sentBytes: sentBytes + dataBytes, toldBytes: consumedBytes };
}

export interface Received {
  readonly seq: number;
  readonly consumedBytes: number;
  readonly dataBytes: number;
}

/** `lost`: a frame is missing. `protocol`: the other end sends past the window, or says it took what was never sent. */
export function receiving(
  flow: Flow,
  { seq, consumedBytes, dataBytes }: Received,
): { readonly flow: Flow } | { readonly broken: "lost" | "protocol" } {
  if (seq !== flow.nextIn) return { broken: "lost" };
  const receivedBytes = flow.receivedBytes + dataBytes;
  const isHonest = consumedBytes >= flow.takenBytes && consumedBytes <= flow.sentBytes;
  if (!isHonest || receivedBytes - flow.consumedBytes > WINDOW_BYTES) return { broken: "protocol" };
  return { flow: { ...flow, nextIn: seq + 1, receivedBytes, takenBytes: consumedBytes } };
}

export function consuming(flow: Flow, dataBytes: number): Flow {
  return { ...flow, consumedBytes: flow.consumedBytes + dataBytes };
}

/** Whether the other end waits, or will soon, for a word of what was consumed. */
export function owesWord({ consumedBytes, toldBytes }: Flow): boolean {
  return consumedBytes - toldBytes >= CREDIT_BYTES;
}
