/** What a hook process asks over the socket: five lines about itself, then git's lines. */

import type { Socket } from "node:net";
import { join, resolve, sep } from "node:path";
import { ZERO_ID } from "../core/check-ref-updates.ts";

export interface HookRequest {
  readonly hook: "pre-receive" | "post-receive";
  readonly pushId: string;
  /** Empty when the push only removes refs: then git receives no objects. */
  readonly quarantineDir: string;
  /** Lets another git process see the objects in quarantine. */
  readonly quarantineEnv: Readonly<Record<string, string>>;
  /** `<old id> <new id> <ref>` */
  readonly lines: readonly string[];
}

const READ_TIMEOUT_MS = 10_000;
const HEAD_LINES = 5;

/** Room for 10,000 refs of the longest name that is allowed, and no more. */
const MAX_CHARS = 4 * 1024 ** 2;

/** Reads until the hook shut down its side. @throws Error when it says nothing or too much */
export function readHookRequest(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.setTimeout(READ_TIMEOUT_MS, () => socket.destroy(new Error("the hook sent nothing")));
    socket.setEncoding("utf8");
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the hook went away")));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > MAX_CHARS) socket.destroy(new Error("the hook sent too much"));
    });
    socket.on("end", () => {
      socket.setTimeout(0);
      resolve(text);
    });
  });
}

/** @returns null when it does not speak our language */
export function parseHookRequest(text: string): HookRequest | null {
  const all = text.split("\n");
  const [hook, pushId = "", quarantineDir = "", objectDir = "", alternates = ""] = all;
  if (hook !== "pre-receive" && hook !== "post-receive") return null;
  const quarantineEnv =
    objectDir === ""
      ? {}
      : {
          GIT_OBJECT_DIRECTORY: objectDir,
          ...(alternates === "" ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: alternates }),
        };
  const lines = all.slice(HEAD_LINES).filter((line) => line !== "");
  return { hook, pushId, quarantineDir, quarantineEnv, lines };
}

function isRemoval(line: string): boolean {
  return line.split(" ")[1] === ZERO_ID;
}

/** True when the quarantine that the hook names is this repository's own, or none is needed. */
export function isOwnQuarantine(request: HookRequest, gitDir: string): boolean {
  if (request.quarantineDir === "")
    return Object.keys(request.quarantineEnv).length === 0 && request.lines.every(isRemoval);
  const inside = join(gitDir, "objects") + sep;
  return resolve(request.quarantineDir).startsWith(inside);
}
