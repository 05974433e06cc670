/** `berth tunnel`: bytes are whole, a slow reader costs no memory, a dead instance is told, and access ends at once. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "../../services/api/src/testing/live-api.ts";
import { addToken } from "../../services/api/src/testing/pod-fixture.ts";
import { berthTunnel, type Rig, startRig } from "./tunnel-rig.ts";

const MIB = 1024 ** 2;
let rig: Rig;

beforeAll(async () => {
  rig = await startRig();
}, 120_000);

afterEach(() => rig.vanish());
afterAll(() => rig?.close(), 60_000);

/** However it ends: `once` would take a reset for its own failure. */
const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));
const sha = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function auditOf(action: string): Promise<Record<string, unknown>[]> {
  const { rows } = await rig.api.admin.query(
    "select actor, remote_address, details from api.audit where action = $1 order by id",
    [action],
  );
  return rows as Record<string, unknown>[];
}

test("every byte there and back, half-closed, shared out among the instances, and audited", async () => {
  const [one, two] = [await rig.instance(1, (s) => s.pipe(s)), await rig.instance(2, (s) => s.pipe(s))];
  const tunnel = await berthTunnel(rig.api, rig.api.token, "shop");
  const sent = [randomBytes(3 * MIB), randomBytes(3 * MIB)];
  const echoed = await Promise.all(
    sent.map(async (bytes) => {
      const socket = await tunnel.dial();
      socket.end(bytes);
      return readAll(socket);
    }),
  );
  expect(echoed.map(sha)).toEqual(sent.map(sha));
  expect([one.connections.length, two.connections.length]).toEqual([1, 1]);
  const told = { type: "closed", why: "done", toBytes: 3 * MIB, fromBytes: 3 * MIB };
  for (const connection of [1, 2]) await tunnel.told({ ...told, connection });
  expect(await tunnel.end()).toBe(0);
  await until("both ends in the audit", async () => (await auditOf("tunnel.closed")).length === 2);
  expect(await auditOf("tunnel.opened")).toHaveLength(2);
  for (const { actor, remote_address, details } of await auditOf("tunnel.closed"))
    expect({ actor, remote_address, details }).toEqual({
      actor: expect.stringMatching(/^usr_/),
      remote_address: "127.0.0.1",
      details: {
        ...{ instance: expect.stringMatching(/^web\.[12]$/), port: expect.any(Number), why: "done" },
        ...{ toBytes: 3 * MIB, fromBytes: 3 * MIB, ranMs: expect.any(Number) },
      },
    });
});

test("a reader that reads nothing: little waits in between, and later every byte comes", async () => {
  const wanted = 48 * MIB;
  const block = randomBytes(64 * 1024);
  let written = 0;
  await rig.instance(3, (socket) => {
    const more = (): void => {
      while (written < wanted) {
        written += block.length;
        if (!socket.write(block)) return;
      }
      socket.end();
    };
    socket.on("drain", more);
    more();
  });
  const tunnel = await berthTunnel(rig.api, rig.api.token, "shop");
  const socket = await tunnel.dial();
  socket.pause();
  await tunnel.told({ type: "opened" });
  let [before, sameCount] = [-1, 0];
  await until("the source to be held up", async () => {
    sameCount = written === before ? sameCount + 1 : 0;
    before = written;
    return sameCount > 30;
  });
  console.log(`held up after ${(written / MIB).toFixed(1)} MiB of ${wanted / MIB}`);
  // Two windows, and what the kernels of three TCP connections buffer: at most 10 MB each.
  expect(written).toBeLessThan((wanted * 3) / 4);
  const whole = createHash("sha256");
  let received = 0;
  socket.on("data", (bytes) => {
    whole.update(bytes);
    received += bytes.length;
  });
  socket.resume();
  await once(socket, "end");
  socket.end();
  expect(received).toBe(wanted);
  const expected = createHash("sha256");
  for (let i = 0; i < wanted / block.length; i += 1) expected.update(block);
  expect(whole.digest("hex")).toBe(expected.digest("hex"));
  await tunnel.told({ type: "closed", why: "done", fromBytes: wanted });
  await tunnel.end();
}, 120_000);

test("an instance that dies in mid-stream: the reader sees a break, and the next connection reaches another", async () => {
  const ticking = (socket: Socket) => {
    const timer = setInterval(() => socket.write("tick\n"), 20);
    socket.on("close", () => clearInterval(timer));
  };
  const [dying, fading, living] = [
    await rig.instance(4, ticking),
    await rig.instance(5, ticking),
    await rig.instance(6, (s) => s.pipe(s)),
  ];
  const tunnel = await berthTunnel(rig.api, rig.api.token, "shop");
  // Each connection begins with the next instance: of three every one is met.
  for (let i = 0; i < 3; i += 1) {
    const socket = await tunnel.dial();
    socket.resume();
    await tunnel.told({ type: "opened", connection: i + 1 });
  }
  const numberOf = (name: string) => tunnel.events().find((one) => one.instance === name)?.connection;
  dying.close();
  await tunnel.told({ type: "closed", why: "instance-closed", connection: numberOf(dying.name) });
  // Its process is gone and nothing answers at its address any more: only the host knows.
  await fading.vanish();
  await tunnel.told({ type: "closed", why: "instance-gone", connection: numberOf(fading.name) });
  await dying.vanish();
  const socket = await tunnel.dial();
  socket.end("still here");
  expect((await readAll(socket)).toString()).toBe("still here");
  await tunnel.told({ type: "opened", connection: 4, instance: living.name });
  await tunnel.end();
  await rig.vanish();
  const none = await berthTunnel(rig.api, rig.api.token, "shop");
  const refused = await none.dial();
  await closed(refused.resume());
  expect(await none.told({ type: "failed" })).toMatchObject({ message: "no instance of shop is ready" });
  await none.end();
});

test("a member who is removed and a token that is revoked: open connections end, and the command with them", async () => {
  await rig.instance(7, (s) => s.pipe(s));
  const { orgId } = await rig.api.idsOf("shop");
  const { rows } = await rig.api.admin.query(
    "select user_id from api.members where org_id = $1 and role = 'member'",
    [orgId],
  );
  const userId = (rows as { user_id: string }[])[0]?.user_id ?? "";
  const end = async (sql: string) => {
    const tunnel = await berthTunnel(rig.api, await addToken(rig.api.pod.db, userId), "shop");
    const socket = await tunnel.dial();
    socket.write("hello");
    expect(String(await once(socket, "data"))).toBe("hello");
    const exited = once(tunnel.child, "exit");
    await rig.api.admin.query(sql, [userId]);
    const sinceMs = Date.now();
    await closed(socket);
    console.log(`${sql.split(" ").slice(0, 3).join(" ")}: cut after ${Date.now() - sinceMs} ms`);
    await tunnel.told({ type: "closed", why: "access-ended" });
    expect((await exited)[0]).toBe(1);
  };
  await end("update api.tokens set revoked_at = now() where user_id = $1 and revoked_at is null");
  await end("delete from api.members where user_id = $1");
  const stranger = await addToken(rig.api.pod.db, userId);
  const tried = await rig.api.berth(["tunnel", "shop"], { env: { BERTH_TOKEN: stranger } });
  expect(tried).toMatchObject({ code: 4, err: expect.stringContaining("shop") });
});

test("a host cannot speak in a passage of another host, and what is no WebSocket is told so", async () => {
  const { publish, subscribe } = await import("@berth/shared/contracts/permissions.ts").then((all) =>
    all.permissionsFor("agent", rig.host.hostId),
  );
  const ofPassages = [...publish, ...subscribe].filter((subject) => subject.includes("passage."));
  expect(ofPassages.length).toBe(2);
  for (const subject of ofPassages) expect(subject).toContain(`.${rig.host.hostId}.`);
  const plain = await fetch(`${rig.api.apiUrl}/v1/orgs/acme/environments/production/services/shop/tunnel`, {
    headers: { authorization: `Bearer ${rig.api.token}` },
  });
  expect([plain.status, await plain.json()]).toMatchObject([400, { code: "invalid-input" }]);
});
