/** Where the reading of a container's log files was left: after the last line that was kept. */
export interface Place {
  /** Which file, also after the engine renamed it; empty when only the time is known. */
  readonly file: string;
  /** Byte to read on from: the first piece of a line that was open then, else the same as `uptoBytes`. */
  readonly fromBytes: number;
  /** Lines that end up to here are kept. */
  readonly uptoBytes: number;
  /** Time of the last kept line: where to go on when the file is gone. */
  readonly at: string;
}

const BYTES = /^([0-9a-z.]{1,60}):(\d{1,15}):(\d{1,15})$/;

/** Its place within the files, without the time. */
export function encodeBytes({ file, fromBytes, uptoBytes }: Omit<Place, "at">): string {
  return `${file}:${fromBytes}:${uptoBytes}`;
}

/** @param text of `encodeBytes`; anything else means that only the time is known */
export function decodePlace(at: string, text: unknown): Place {
  const [, file = "", from = "0", upto = "0"] = BYTES.exec(typeof text === "string" ? text : "") ?? [];
  return { file, fromBytes: Number(from), uptoBytes: Number(upto), at };
}

/** The one that was left later, of one container: both were true once. */
export function laterPlace(one: Place, other: Place): Place {
  if (one.file === other.file && one.file !== "") return one.uptoBytes >= other.uptoBytes ? one : other;
  return one.at >= other.at ? one : other;
}
