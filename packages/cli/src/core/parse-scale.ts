/** Reads what `berth scale` is asked for: `web=3`, `worker=+1`. */
import { ProcessName } from "@berth/shared/domain/names.ts";

export interface ScaleRequest {
  readonly process: string;
  readonly amount: number;
  /** True for `+n` and `-n`: relative to what is there. */
  readonly relative: boolean;
}

/** @returns null when the text is not `PROCESS=N`, `PROCESS=+N` or `PROCESS=-N` */
export function parseScale(text: string): ScaleRequest | null {
  const match = /^([^=]+)=([+-]?)(\d{1,4})$/.exec(text);
  if (match === null) return null;
  const [, process = "", sign = "", digits = ""] = match;
  if (!ProcessName.safeParse(process).success) return null;
  return { process, amount: sign === "-" ? -Number(digits) : Number(digits), relative: sign !== "" };
}

/** Reads `0.5` or `2` CPUs, or `500m`. @returns thousandths, or null when it is no such number */
export function parseCpus(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(text.trim());
  if (match === null) return null;
  return Math.round(Number(match[1]) * (match[2] === "m" ? 1 : 1000));
}
