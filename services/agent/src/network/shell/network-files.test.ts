import { mkdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { afterEach, beforeEach, expect, test } from "vitest";
import { held } from "../../testing/test-networks.ts";
import { NetworkFiles } from "./network-files.ts";

let folder: string;
let files: NetworkFiles;
const network = { ...held(1, 1), keys: newWireguardKeys() };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-network-files-"));
  files = new NetworkFiles(folder);
  await files.load();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const kept = async () => (await readdir(files.folder)).filter((name) => name.startsWith("env_"));

test("what was saved last is on disk when it is said to be kept, and nothing of it when it is forgotten", async () => {
  const saves = [1, 2, 3].map((version) =>
    files.save({ ...network, network: { ...network.network, version } }),
  );
  await files.kept(network.environmentId);
  expect(await kept()).toEqual([`${network.environmentId}.json`]);
  await Promise.all(saves);
  void files.save(network);
  await files.forget(network.environmentId);
  expect(await kept()).toEqual([]);
});

test("of those that wait the last is written, and all of them are kept with it", async () => {
  const versions = [1, 2, 3].map((version) => ({ ...network, network: { ...network.network, version } }));
  await Promise.all(versions.map((one) => files.save(one)));
  expect((await files.load()).networks).toEqual([versions[2]]);
});

test("what is tried again is what was saved last, not what failed", async () => {
  await rm(files.folder, { recursive: true });
  const failed = files.save(network).catch(() => mkdirSync(files.folder));
  const again = files.kept(network.environmentId);
  // It is under way: what comes now is another one.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const newer = { ...network, network: { ...network.network, version: network.network.version + 1 } };
  await Promise.all([failed, again, files.save(newer)]);
  expect((await files.load()).networks).toEqual([newer]);
});

test("what could not be written is not kept, and is written once it can be", async () => {
  await rm(files.folder, { recursive: true });
  await expect(files.save(network)).rejects.toThrow("ENOENT");
  await expect(files.kept(network.environmentId)).rejects.toThrow("ENOENT");
  await mkdir(files.folder);
  await files.kept(network.environmentId);
  expect(await kept()).toEqual([`${network.environmentId}.json`]);
});
