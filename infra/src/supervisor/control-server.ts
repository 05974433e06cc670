/**
 * Serves the control socket. A request longer than 4 KiB or slower than 5 s is cut: whoever can open the socket
 * is trusted, but may be broken.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { ControlRequest, type ControlResponse, socketPath } from "./protocol.ts";
import type { Supervisor } from "./supervisor.ts";

const maxRequestBytes = 4096;
const requestTimeoutMs = 5000;

/** @param onStopped called after a `stop` was answered. */
export async function serveControl(
  runDir: string,
  supervisor: Supervisor,
  onStopped: () => void,
): Promise<Server> {
  const path = socketPath(runDir);
  rmSync(path, { force: true });
  // Half-open: the client ends its side after the request and then reads the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void readLine(socket)
      .then((line) => answer(line, supervisor))
      .then(({ response, stopped }) =>
        socket.end(`${JSON.stringify(response)}\n`, () => (stopped ? onStopped() : undefined)),
      )
      .catch(() => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return server;
}

async function answer(
  line: string,
  supervisor: Supervisor,
): Promise<{ response: ControlResponse; stopped: boolean }> {
  try {
    const request = ControlRequest.parse(JSON.parse(line));
    const result = await perform(request, supervisor);
    return { response: { ok: true, result }, stopped: request.command === "stop" };
  } catch (error) {
    return {
      response: { ok: false, error: error instanceof Error ? error.message : String(error) },
      stopped: false,
    };
  }
}

async function perform(request: ControlRequest, supervisor: Supervisor): Promise<unknown> {
  switch (request.command) {
    case "status":
      return supervisor.status();
    case "stop":
      return await supervisor.stop().then(() => null);
    case "restart":
      return await supervisor.restart(request.name).then(() => null);
    case "apply":
      return await supervisor.apply();
  }
}

function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.setTimeout(requestTimeoutMs, () => reject(new Error("the request was too slow")));
    socket.on("error", reject);
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > maxRequestBytes) reject(new Error("the request is too long"));
      const end = text.indexOf("\n");
      if (end < 0) return;
      // From here on the supervisor takes the time it needs: a stop waits for every process.
      socket.setTimeout(0);
      resolve(text.slice(0, end));
    });
    socket.on("end", () => reject(new Error("the request has no end of line")));
  });
}
