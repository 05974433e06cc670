import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EnvironmentNetwork } from "@berth/shared/contracts/network.ts";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { expect, test, vi } from "vitest";
import { newTestId } from "../testing/ids.ts";
import type { DesiredNetwork, HeldNetwork } from "./core/network-state.ts";
import { NameKeeper, onlyNamesDiffer } from "./name-keeper.ts";
import { NetworkFiles } from "./shell/network-files.ts";
import type { Resolvers, ResolverView } from "./shell/resolvers.ts";

const environmentId = EnvironmentId.parse(newTestId("environment"));
const name = (slot: number) => ({ service: "shop", process: "web", slot, address: `10.64.0.${slot + 1}` });

function network(version: number, slots: readonly number[]): EnvironmentNetwork {
  const rest = { environmentId, subnet: "10.64.0.0/19", keyGeneration: 0, members: [], links: [] };
  return EnvironmentNetwork.parse({ ...rest, version, names: slots.map(name) });
}

test("only who runs where is a difference of names", () => {
  const before = network(1, [1]);
  expect(onlyNamesDiffer(before, network(2, [1, 2]))).toBe(true);
  expect(onlyNamesDiffer(before, { ...network(2, [1]), keyGeneration: 1 })).toBe(false);
  expect(onlyNamesDiffer(before, { ...network(2, [1]), subnet: "10.65.0.0/19" })).toBe(false);
});

test("changes that follow each other are told once, the newest, and are on disk then", async () => {
  const folder = await mkdtemp(join(tmpdir(), "berth-names-"));
  const files = new NetworkFiles(folder);
  await files.load();
  let held: HeldNetwork = {
    ...{ format: 1, environmentId, keys: newWireguardKeys(), keyGeneration: 0, state: "joined" },
    network: network(1, []),
  };
  const told: number[] = [];
  const resolvers = {
    ensure: async (_key: string, { names }: ResolverView) => {
      told.push(names.length);
      return "told" as const;
    },
  };
  const desired = { environmentId, bridge: "bn-x", gateway: "10.64.0.1", egress: { mode: "open" } };
  const keeper = new NameKeeper({
    resolvers: resolvers as unknown as Resolvers,
    files,
    log: silentLog,
    held: () => held,
    desired: () => [desired as unknown as DesiredNetwork],
    standing: { has: () => true },
  });
  for (const count of [1, 2, 3]) {
    const slots = Array.from({ length: count }, (_, i) => i + 1);
    held = { ...held, network: network(count + 1, slots) };
    keeper.noteChanged(environmentId);
  }
  const stored = async () =>
    JSON.parse(await readFile(join(files.folder, `${environmentId}.json`), "utf8")).network.version;
  await vi.waitFor(async () => expect(await stored()).toBe(4), { timeout: 5000 });
  expect(told).toEqual([3]);
  await rm(folder, { recursive: true });
});

test("a resolver whose environment has no bridge yet is neither told nor ended", async () => {
  const seen: string[] = [];
  const note = (what: string) => async (key: string) => {
    seen.push(`${what} ${key}`);
    return "told" as const;
  };
  const keepOnly = async (keys: ReadonlySet<string>) => void seen.push(`keeps ${[...keys].join()}`);
  const networks = ["bn-stands", "bn-comes"].map(
    (bridge) => ({ environmentId: bridge, bridge, egress: { mode: "open" } }) as unknown as DesiredNetwork,
  );
  const files = { save: async () => undefined } as unknown as NetworkFiles;
  const keeper = new NameKeeper({
    resolvers: { ensure: note("tells"), look: note("looks at"), keepOnly } as unknown as Resolvers,
    ...{ files, log: silentLog, held: () => undefined, desired: () => networks },
    standing: { has: (id) => id === "bn-stands" },
  });
  await keeper.tellAll(networks);
  await keeper.lookAtAll(networks);
  expect(seen).toEqual(["tells bn-stands", "keeps bn-stands,bn-comes", "looks at bn-stands"]);
  keeper.noteChanged("bn-comes");
  keeper.noteChanged("bn-stands");
  await vi.waitFor(() => expect(seen.slice(3)).toEqual(["tells bn-stands"]), { timeout: 5000 });
});
