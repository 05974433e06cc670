/** A socket in front of the engine's that never answers chosen requests: an engine that hangs for one container. */
import { connect, createServer } from "node:net";

export interface HangingSocket {
  readonly path: string;
  /** Requests whose line matches get no answer from now on; null lets all through. */
  hang(pattern: RegExp | null): void;
  readonly hungCount: () => number;
  close(): Promise<void>;
}

export async function hangingSocket(engineSocket: string): Promise<HangingSocket> {
  const path = `${engineSocket}.slow`;
  let pattern: RegExp | null = null;
  let hung = 0;
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((client) => {
    sockets.add(client);
    client.on("error", () => client.destroy());
    const engine = connect(engineSocket);
    sockets.add(engine);
    engine.on("error", () => client.destroy());
    engine.on("close", () => client.destroy());
    client.on("close", () => engine.destroy());
    let isHung = false;
    // Connections are used again: every request is looked at, not only the first of a connection.
    client.on("data", (chunk) => {
      const [line = ""] = chunk.toString("latin1").split("\r\n", 1);
      if (/ HTTP\/1\.1$/.test(line) && pattern?.test(line)) {
        hung += 1;
        isHung = true;
      }
      if (!isHung) engine.write(chunk);
    });
    engine.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    hang: (next) => {
      pattern = next;
    },
    hungCount: () => hung,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
