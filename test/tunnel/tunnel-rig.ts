/**
 * The road of `berth tunnel` without containers: the real CLI, API, PostgreSQL and NATS, the agent's own code with a
 * host's real permissions, and instances that are TCP servers at addresses of this machine.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { PassageUp } from "@berth/shared/contracts/passage.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { servePassages } from "../../services/agent/src/inbound/passages.ts";
import type { Reachable } from "../../services/agent/src/passages/core/judge-passage.ts";
import { HostPassages } from "../../services/agent/src/passages/host-passages.ts";
import { type JoinedHost, LiveApi, until } from "../../services/api/src/testing/live-api.ts";

export interface Instance {
  readonly name: string;
  readonly connections: Socket[];
  /** As if its container went: no word to anybody but the host. */
  vanish(): Promise<void>;
  close(): void;
}

export interface Rig {
  readonly api: LiveApi;
  readonly host: JoinedHost;
  /** A ready instance of the service shop. */
  instance(slot: number, serve: (socket: Socket) => void): Promise<Instance>;
  /** Every instance. */
  vanish(): Promise<void>;
  close(): Promise<void>;
}

export async function startRig(): Promise<Rig> {
  const api = await LiveApi.start();
  await api.berth(["services", "create", "shop"]);
  const host = await api.joinHost("h1");
  await api.admin.query(
    "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1,'alive',now(),'boot','{}')",
    [host.hostId],
  );
  const records: Reachable[] = [];
  const passages = new HostPassages({
    jobs: () => records,
    send: (frame) => host.agent.signal(PassageUp, { hostId: host.hostId, ...frame }),
    clock: systemClock,
    log: silentLog,
  });
  const served = servePassages(host.agent, host.hostId, passages);
  const looking = setInterval(() => passages.look(), 200);
  const servers: Server[] = [];
  return {
    api,
    host,
    instance: async (slot, serve) => {
      const address = `127.0.0.${slot + 1}`;
      const connections: Socket[] = [];
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => undefined);
        connections.push(socket);
        serve(socket);
      });
      server.listen(0, address);
      servers.push(server);
      await once(server, "listening");
      const jobId = await storeJob(api, host, slot, address, (server.address() as AddressInfo).port);
      const { environmentId } = await api.idsOf("shop");
      const record: Reachable = { spec: { jobId, environmentId }, state: "running", ready: true, address };
      records.push(record);
      return {
        ...{ name: `web.${slot}`, connections },
        vanish: async () => {
          records.splice(records.indexOf(record), 1);
          await api.admin.query("update scheduler.jobs set ready = false where id = $1", [jobId]);
        },
        close: () => {
          for (const socket of connections) socket.resetAndDestroy();
        },
      };
    },
    vanish: async () => {
      records.length = 0;
      await api.admin.query("update scheduler.jobs set ready = false");
    },
    close: async () => {
      clearInterval(looking);
      for (const server of servers) server.close();
      passages.close();
      await served.close();
      await api.close();
    },
  };
}

async function storeJob(
  api: LiveApi,
  { hostId }: JoinedHost,
  slot: number,
  address: string,
  port: number,
): Promise<string> {
  const { orgId, environmentId, serviceId } = await api.idsOf("shop");
  const id = newId("job");
  await api.admin.query(
    `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, ready, host_id, address, port)
     values ($1,$2,$3,$4,'rel','dep','web',$5,'{}','running',true,$6,$7,$8)`,
    [id, orgId, environmentId, serviceId, slot, hostId, address, port],
  );
  return id;
}

type Event = Readonly<Record<string, unknown>>;

export interface RunningTunnel {
  readonly child: ChildProcess;
  /** What it told so far. */
  events(): Event[];
  /** The first event like this, when it comes. */
  told(like: Event): Promise<Event>;
  dial(): Promise<Socket>;
  end(): Promise<number>;
}

/** `berth tunnel … --json`, which listens when this resolves. */
export async function berthTunnel(api: LiveApi, token: string, ...words: string[]): Promise<RunningTunnel> {
  const { child, out, err } = api.spawnBerth(["tunnel", ...words, "--json"], { BERTH_TOKEN: token });
  const exited = once(child, "exit");
  const events = (): Event[] =>
    out()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Event);
  const told = async (like: Event): Promise<Event> => {
    const isLike = (event: Event) => Object.entries(like).every(([key, value]) => event[key] === value);
    let found: Event | undefined;
    await until(`${JSON.stringify(like)} among ${out()}${err()}`, async () => {
      found = events().find(isLike);
      return found !== undefined;
    });
    return found as Event;
  };
  const { port } = await told({ type: "listening" });
  return {
    ...{ child, events, told },
    dial: async () => {
      const socket = connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
      socket.on("error", () => undefined);
      await once(socket, "connect");
      return socket;
    },
    end: async () => {
      child.kill("SIGTERM");
      const [code] = (await exited) as [number];
      return code;
    },
  };
}
