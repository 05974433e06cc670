/** The port on 127.0.0.1: the one of the last start when it is free, so that what the edge knows stays true. */
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import { dirname } from "node:path";

const BACKLOG = 4096;

export async function listenAsBefore(server: Server, file: string): Promise<number> {
  const before = Number(await readFile(file, "utf8").catch(() => "0"));
  const isPort = Number.isInteger(before) && before > 0 && before < 65_536;
  const port = (isPort ? await tryListen(server, before) : null) ?? (await listen(server, 0));
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, String(port), { mode: 0o600 });
  return port;
}

async function tryListen(server: Server, port: number): Promise<number | null> {
  return await listen(server, port).catch(() => null);
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen({ host: "127.0.0.1", port, backlog: BACKLOG });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
