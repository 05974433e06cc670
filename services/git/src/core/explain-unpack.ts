/**
 * Adds the reason to the answer of git's receive-pack when it could not take the pack.
 *
 * Then git itself only says `unpack index-pack abnormal exit`, before any hook ran. The report travels in side
 * band 1; the explanation goes right in front of it, in side band 2.
 */
import { MAX_PACKET_BYTES } from "./pkt-line.ts";

export type UnpackProblem = "pack-size" | "objects" | "timeout" | "fsck";

const REPORT_BAND = 1;
const TEXT_BAND = 2;

/** What is known of one answer so far. */
export interface ReplyState {
  readonly sawFsck: boolean;
  readonly explained: boolean;
}

export const FRESH_REPLY: ReplyState = { sawFsck: false, explained: false };

/**
 * @param problem what the server noticed while it passed the pack on, if anything
 * @returns the problem to explain in front of this packet, or null
 */
export function inspectReply(
  state: ReplyState,
  packet: Buffer,
  problem: UnpackProblem | null,
): { state: ReplyState; explain: UnpackProblem | null } {
  if (state.explained || packet.length < 6 || packet.length > MAX_PACKET_BYTES)
    return { state, explain: null };
  const text = packet.toString("latin1", 5, Math.min(packet.length, 2000));
  if (packet[4] === TEXT_BAND && /fsck|error: object [0-9a-f]{40}/.test(text))
    return { state: { ...state, sawFsck: true }, explain: null };
  if (packet[4] !== REPORT_BAND || !/^[0-9a-f]{4}unpack (?!ok)/.test(text)) return { state, explain: null };
  return { state: { ...state, explained: true }, explain: problem ?? "fsck" };
}
