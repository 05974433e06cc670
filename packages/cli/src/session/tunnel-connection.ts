/**
 * One TCP connection of `berth tunnel`: between a local socket and a WebSocket of the API. Neither side is read faster
 * than the other one takes, so a slow reader costs no memory.
 */
import type { Socket } from "node:net";
import { ErrorBody } from "@berth/shared/contracts/errors.ts";
import { TUNNEL_MESSAGE_BYTES, TunnelEvent } from "@berth/shared/contracts/http/api.ts";
import type { PassageEndReason } from "@berth/shared/contracts/passage.ts";
import { WebSocket } from "ws";
import { ApiError, ConnectionError } from "../client.ts";

export interface SocketTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Carried {
  readonly why: PassageEndReason;
  /** To the instance, and from it. */
  readonly toBytes: number;
  readonly fromBytes: number;
}

const HANDSHAKE_MS = 15_000;
/** The API asks every 15 s whether this end is there. */
const SILENCE_MS = 45_000;
const MOST_WAITING_BYTES = 256 * 1024;

/**
 * Carries it to its end.
 * @param local read by nobody yet; closed when this resolves or throws
 * @param opened called once the instance is reached
 * @throws CliError when there is no way to an instance
 */
export function carry(
  { url, headers }: SocketTarget,
  local: Socket,
  opened: (instance: string, port: number) => void,
): Promise<Carried> {
  const limits = { handshakeTimeout: HANDSHAKE_MS, maxPayload: TUNNEL_MESSAGE_BYTES };
  const remote = new WebSocket(url, { headers, ...limits, perMessageDeflate: false });
  return new Carriage(local, remote, opened).done;
}

class Carriage {
  readonly done: Promise<Carried>;
  readonly #local: Socket;
  readonly #remote: WebSocket;
  readonly #opened: (instance: string, port: number) => void;
  #toBytes = 0;
  #fromBytes = 0;
  #why: PassageEndReason | null = null;
  #failure: Error | null = null;
  #heardEnd = false;

  constructor(local: Socket, remote: WebSocket, opened: (instance: string, port: number) => void) {
    this.#local = local;
    this.#remote = remote;
    this.#opened = opened;
    this.#listenToRemote();
    this.#listenToLocal();
    this.done = new Promise((resolve, reject) => {
      remote.on("close", () => {
        const outcome = this.#closed();
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      });
    });
  }

  #listenToRemote(): void {
    const remote = this.#remote;
    const silence = setTimeout(() => {
      // One that is not read now, because the local program is slow, cannot be heard.
      if (remote.isPaused) silence.refresh();
      else remote.terminate();
    }, SILENCE_MS);
    remote.on("close", () => clearTimeout(silence));
    remote.on("ping", () => silence.refresh());
    remote.on("message", (data: Buffer, isBinary: boolean) => {
      silence.refresh();
      if (!isBinary) return this.#told(readEvent(data));
      this.#fromBytes += data.length;
      if (!this.#local.write(data)) remote.pause();
    });
    remote.on("error", (error) => {
      this.#failure ??= new ConnectionError(`the API could not be reached: ${error.message}`, {
        next: "Check the address (`berth login --api URL` or BERTH_API) and that the pod is up.",
      });
    });
    // An HTTP answer instead of a WebSocket: an error of the catalogue.
    remote.on("unexpected-response", (_request, response) => {
      void readError(response).then((error) => {
        this.#failure = error;
        remote.terminate();
      });
    });
  }

  #listenToLocal(): void {
    const [local, remote] = [this.#local, this.#remote];
    local.on("drain", () => remote.resume());
    local.on("data", (bytes) => {
      this.#toBytes += bytes.length;
      remote.send(bytes, () => {
        if (remote.bufferedAmount < MOST_WAITING_BYTES) local.resume();
      });
      if (remote.bufferedAmount >= MOST_WAITING_BYTES) local.pause();
    });
    local.on("end", () => remote.send(JSON.stringify({ type: "end" }), () => undefined));
    local.on("error", () => undefined);
    // One that ended in peace on both sides waits for the API's last word.
    local.on("close", () => {
      if (!(local.readableEnded && this.#heardEnd)) remote.terminate();
    });
  }

  #told(event: TunnelEvent | null): void {
    if (event?.type === "open") {
      this.#opened(event.instance, event.port);
      this.#local.resume();
    } else if (event?.type === "end") {
      this.#heardEnd = true;
      this.#local.end();
    }
    if (event?.type === "closed") this.#why = event.why;
    if (event?.type === "refused") this.#failure = new ApiError(event.error);
  }

  /** What ended before its time is reset, so that the local program sees that something is missing. */
  #closed(): Carried | Error {
    const leftHere = this.#local.destroyed;
    if (this.#why === "done") this.#local.end();
    else if (!leftHere) this.#local.resetAndDestroy();
    if (this.#failure !== null && this.#why === null && !leftHere) return this.#failure;
    const why = this.#why ?? (leftHere ? "client-left" : "shutting-down");
    return { why, toBytes: this.#toBytes, fromBytes: this.#fromBytes };
  }
}

function readEvent(data: Buffer): TunnelEvent | null {
  try {
    return TunnelEvent.safeParse(JSON.parse(data.toString("utf8"))).data ?? null;
  } catch {
    return null;
  }
}

async function readError(
  response: AsyncIterable<Buffer> & { statusCode?: number | undefined },
): Promise<Error> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    return new ApiError(ErrorBody.parse(JSON.parse(Buffer.concat(chunks).toString("utf8"))));
  } catch {
    return new ConnectionError(`the API answered ${response.statusCode}, and not as Berth's API would`, {
      next: "Check the address: `berth login --api URL` or BERTH_API.",
    });
  }
}
