/** Private keys of this machine's places in environments' networks: one file each, for the person only. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { configDir, type Env } from "./credentials.ts";

export interface PeerPlace {
  readonly apiUrl: string;
  readonly org: string;
  readonly environment: string;
  readonly name: string;
}

export async function savePeerKey(
  place: PeerPlace,
  privateKey: string,
  env: Env = process.env,
): Promise<void> {
  const file = fileOf(place, env);
  await mkdir(join(file, ".."), { recursive: true, mode: 0o700 });
  await writeFile(file, `${privateKey}\n`, { mode: 0o600 });
}

/** @returns null when it was made elsewhere */
export async function readPeerKey(place: PeerPlace, env: Env = process.env): Promise<string | null> {
  return readFile(fileOf(place, env), "utf8").then(
    (text) => text.trim(),
    () => null,
  );
}

export async function forgetPeerKey(place: PeerPlace, env: Env = process.env): Promise<void> {
  await rm(fileOf(place, env), { force: true });
}

function fileOf({ apiUrl, org, environment, name }: PeerPlace, env: Env): string {
  const api = apiUrl.replaceAll(/[^A-Za-z0-9.-]+/g, "_");
  return join(configDir(env), "peers", `${api}.${org}.${environment}.${name}.key`);
}
