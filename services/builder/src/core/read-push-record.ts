/** Reads the engine's account of a push: one JSON record per line, errors among them. */
import { BuildStopped } from "./build-stopped.ts";

/** One JSON record of a push: its digest if it carries one; throws when it carries an error. */
export function readPushRecord(line: string, onProgress: (text: string) => void): string | null {
  if (line.trim() === "") return null;
  let record: {
    error?: string;
    errorDetail?: { message?: string };
    status?: string;
    aux?: { Digest?: string };
  };
  try {
    record = JSON.parse(line) as typeof record;
  } catch {
    return null;
  }
  const problem = record.errorDetail?.message ?? record.error;
  if (problem !== undefined) throw new BuildStopped({ code: "push-failed", detail: problem.slice(0, 500) });
  if (record.status !== undefined) onProgress(record.status);
  const digest = record.aux?.Digest;
  return digest !== undefined && /^sha256:[0-9a-f]{64}$/.test(digest) ? digest : null;
}
