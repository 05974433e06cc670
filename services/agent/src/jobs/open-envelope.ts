/** Opens a sealed envelope and checks that it was meant for exactly this host, job and epoch. */
import { Envelope } from "@berth/shared/contracts/secret.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { SealedEnvelope } from "../core/job-record.ts";

export interface EnvelopeFor {
  readonly hostId: string;
  readonly jobId: string;
  readonly epoch: number;
}

/** @returns null when it cannot be opened or is for another host, job or epoch */
export function openEnvelope(curve: Curve, envelope: SealedEnvelope, meant: EnvelopeFor): Envelope | null {
  try {
    const opened = Envelope.parse(curve.openJson(envelope.sealed, envelope.senderKey));
    const isOurs =
      opened.hostId === meant.hostId && opened.jobId === meant.jobId && opened.epoch === meant.epoch;
    return isOurs ? opened : null;
  } catch {
    return null;
  }
}
