/** Is the app there: a TCP connect, or an HTTP GET that answers 2xx or 3xx. Never throws. */
import { get } from "node:http";
import { connect } from "node:net";

const CONNECT_MS = 1000;
const HTTP_MS = 2000;

export interface ProbeTarget {
  readonly address: string;
  readonly port: number;
  readonly httpPath: string | null;
}

export function probe(target: ProbeTarget): Promise<boolean> {
  return target.httpPath === null ? canConnect(target) : answersWell(target, target.httpPath);
}

function canConnect({ address, port }: ProbeTarget): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (well: boolean) => {
      socket.destroy();
      resolve(well);
    };
    socket.setTimeout(CONNECT_MS, () => end(false));
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

function answersWell({ address, port }: ProbeTarget, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: address, port, path, timeout: HTTP_MS, agent: false }, (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve(status >= 200 && status < 400);
    });
    const timer = setTimeout(() => request.destroy(), HTTP_MS);
    request.on("timeout", () => request.destroy());
    request.on("close", () => clearTimeout(timer));
    request.on("error", () => resolve(false));
  });
}

/** Waits between probes: 1, 2, 4, 8, 10, 10 … ms in the first 3 s, then 100 ms. */
export function probePauseMs(tries: number, elapsedMs: number): number {
  if (elapsedMs > 3000) return 100;
  return Math.min(10, 2 ** tries);
}
