/**
 * A place outside of the pod, at a public address that no machine has (203.0.113.0/24 is for documentation): servers on
 * the machine that answer each request with the address that it came from.
 */
import { createServer, type Server } from "node:http";
import { command } from "@berth/infra/lab/command.ts";

export const OUTSIDE = "203.0.113.10";
const NETWORK = "203.0.113.0/24";

export interface Outside {
  close(): Promise<void>;
}

/** @param hosts commands run on each lab host */
export async function openOutside(
  device: string,
  machineAddress: string,
  ports: readonly number[],
  hosts: readonly ((command: string) => Promise<unknown>)[],
): Promise<Outside> {
  await command(["ip", "address", "replace", `${OUTSIDE}/32`, "dev", device]);
  for (const on of hosts) await on(`ip route replace ${NETWORK} via ${machineAddress} dev eth0`);
  const servers = await Promise.all(ports.map(listen));
  return {
    close: async () => {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
      await command(["ip", "address", "delete", `${OUTSIDE}/32`, "dev", device]);
    },
  };
}

function listen(port: number): Promise<Server> {
  const server = createServer((request, response) => {
    response.setHeader("connection", "close");
    response.end(request.socket.remoteAddress);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, OUTSIDE, () => resolve(server));
  });
}
