/** A connection to an instance, made or not: whether it listens is what is asked. */
import { connect, type Socket } from "node:net";

export interface Instance {
  readonly address: string;
  readonly port: number;
}

const CONNECT_MS = 2500;

/** @returns null when nothing took the connection in time */
export function connectInstance({ address, port }: Instance): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, noDelay: true, allowHalfOpen: true });
    const fail = () => {
      socket.destroy();
      resolve(null);
    };
    socket.setTimeout(CONNECT_MS, fail);
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.setTimeout(0);
      socket.removeListener("error", fail);
      resolve(socket);
    });
  });
}
