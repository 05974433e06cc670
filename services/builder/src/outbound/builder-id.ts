/** This builder's name, made once and kept in its state folder: after a restart it knows what it left behind. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export async function readBuilderId(stateDir: string): Promise<string> {
  const path = join(stateDir, "builder-id");
  const kept = await readFile(path, "utf8").catch(() => "");
  if (/^builder-[0-9a-f]{12}$/.test(kept.trim())) return kept.trim();
  await mkdir(stateDir, { recursive: true });
  const made = `builder-${randomBytes(6).toString("hex")}`;
  await writeFile(path, `${made}\n`, { mode: 0o600 });
  return made;
}
