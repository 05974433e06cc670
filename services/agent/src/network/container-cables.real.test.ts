/** Cables of real containers: laid by the agent, left alone when whole, laid again when half, and into nobody else. */
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { startTestEngine, type TestEngine } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CommandError, runCommand } from "../outbound/run-command.ts";
import { newTestId } from "../testing/ids.ts";
import { ContainerCables } from "./container-cables.ts";
import { type CableEnd, type CablePlace, deviceOf } from "./core/container-cable.ts";

let engine: TestEngine;
let image: string;
let place: CablePlace;
let cables: ContainerCables;
const onHost = (...argv: string[]): Promise<string> => runCommand([...engine.commandPrefix, ...argv]);
const addressAt = (n: number): string => place.gateway.replace(/\d+$/, String(n));

beforeAll(async () => {
  engine = await startTestEngine();
  const digest = await engine.pushImage("org_test/cable", ['CMD ["httpd","-f","-p","8080","-h","/www"]']);
  image = `${engine.registry}/org_test/cable@${digest}`;
  const net = engine.subnet.replace(/\.\d+\/\d+$/, "");
  place = { bridge: "bt0", slice: `${net}.0/24`, gateway: `${net}.1`, mtu: 1400 };
  await onHost("ip", "link", "add", place.bridge, "type", "bridge");
  await onHost("ip", "addr", "add", `${place.gateway}/24`, "dev", place.bridge);
  await onHost("ip", "link", "set", place.bridge, "up");
  cables = new ContainerCables({ usedBeside: () => [], prefix: engine.commandPrefix });
}, 60_000);

afterAll(() => engine?.close(), 60_000);

async function started(): Promise<CableEnd> {
  const containerId = (await engine.docker("run", "-d", "--network", "none", image)).trim();
  const pid = Number(await engine.docker("inspect", "-f", "{{.State.Pid}}", containerId));
  return { containerId, pid };
}

const inside = ({ pid }: CableEnd, ...argv: string[]): Promise<string> =>
  runCommand(["nsenter", `--net=/proc/${pid}/ns/net`, ...argv]);
const answers = (address: string): Promise<boolean> =>
  fetch(`http://${address}:8080/index.html`, { signal: AbortSignal.timeout(2000) }).then(
    ({ ok }) => ok,
    () => false,
  );
const portsOf = async (): Promise<string[]> =>
  (await onHost("ip", "-o", "link", "show", "master", place.bridge))
    .split("\n")
    .filter((line) => line !== "");

test("laid once, left alone when asked again, laid anew when half of it is missing", async () => {
  const one = await started();
  await cables.lay(one, addressAt(7), place);
  expect(await answers(addressAt(7))).toBe(true);
  const [port] = await portsOf();
  expect(port).toContain(`veth${one.containerId.slice(0, 10)}`);
  await cables.lay(one, addressAt(7), place);
  expect(await portsOf()).toEqual([port]);

  await inside(one, "ip", "route", "del", "default");
  await cables.lay(one, addressAt(7), place);
  expect(await answers(addressAt(7))).toBe(true);
  const [again, ...more] = await portsOf();
  // Another number: it was made anew.
  expect(again?.split(":")[0]).not.toBe(port?.split(":")[0]);
  expect(more).toEqual([]);
  await engine.docker("rm", "-f", one.containerId);
  // The kernel takes it away a moment after the last process of the namespace.
  await expect.poll(portsOf, { timeout: 10_000 }).toEqual([]);
});

test("it carries once it is laid: the first question for the address is answered", async () => {
  const all = await Promise.all(Array.from({ length: 12 }, started));
  for (const [n, end] of all.entries()) {
    await cables.lay(end, addressAt(20 + n), place);
    const port = await onHost("ip", "-d", "-o", "link", "show", "dev", deviceOf(end.containerId));
    expect(port).toContain("bridge_slave state forwarding");
  }
  await engine.docker("rm", "-f", ...all.map(({ containerId }) => containerId));
}, 60_000);

test("a number that is another process' by now gets nothing", async () => {
  const [gone, other] = [await started(), await started()];
  await engine.docker("rm", "-f", gone.containerId);
  const wrong = { containerId: gone.containerId, pid: other.pid };
  await expect(cables.lay(wrong, addressAt(8), place)).rejects.toThrow(CommandError);
  expect(await inside(other, "ip", "-o", "link")).not.toContain("eth0");
  await expect(cables.lay(gone, addressAt(8), place)).rejects.toThrow(CommandError);
  expect(await portsOf()).toEqual([]);
});

test("containers that are made at once get different addresses, and none when all are in use", async () => {
  const environmentId = EnvironmentId.parse(newTestId("environment"));
  const ask = (jobId: string, wanted: string | null = null) => ({ jobId, environmentId, wanted });
  const few = { ...place, slice: place.slice.replace(/\/24$/, "/27") };
  const given = new Set<string>();
  let open = (): void => {};
  const all = new Promise<void>((resolve) => {
    open = resolve;
  });
  // 32 without network, broadcast, gateway and a quarter for proxies.
  const works = Array.from({ length: 21 }, (_, n) =>
    cables.withAddress(ask(`c${n}`), few, async (address) => {
      given.add(address);
      await all;
    }),
  );
  const late = cables.withAddress(ask("late"), few, async () => {});
  await expect(late).rejects.toThrow(/no address is left/);
  open();
  await Promise.all(works);
  expect(given.size).toBe(21);
  await cables.withAddress(ask("next"), few, async (address) => expect(given).toContain(address));
  // A job's next attempt has its former address, while that is free and a container's at all.
  const kept = [...given][5] ?? null;
  await cables.withAddress(ask("same", kept), few, async (address) => expect(address).toBe(kept));
  await cables.withAddress(ask("wrong", place.gateway), few, async (address) =>
    expect(given).toContain(address),
  );
});
