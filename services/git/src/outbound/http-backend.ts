/**
 * `git http-backend` as a CGI program: request in, headers and body out, piped and never held.
 * A push's answer is watched on its way, to explain a pack that git could not take.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { Transform } from "node:stream";
import type { UnpackProblem } from "../core/explain-unpack.ts";
import { FRESH_REPLY, inspectReply } from "../core/explain-unpack.ts";
import type { GitTarget } from "../core/parse-git-url.ts";
import { messagePacket, PacketCutter } from "../core/pkt-line.ts";
import type { GitCage, GitProcess } from "./git-process.ts";
import { startGit } from "./git-process.ts";

export interface BackendRequest {
  readonly target: GitTarget;
  readonly gitDir: string;
  readonly projectRoot: string;
  readonly repositoryName: string;
  /** Becomes REMOTE_USER, which allows pushes, and the committer in the reflog. */
  readonly userId: string;
  readonly hookEnv: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

const MAX_HEADER_BYTES = 16_384;

/** Starts the backend and feeds it the request's body. */
export function startBackend(
  cage: GitCage,
  request: BackendRequest,
  incoming: IncomingMessage,
  onTimeout: () => void,
): GitProcess {
  const git = startGit(cage, {
    args: ["http-backend"],
    env: { ...cgiEnvironment(request, incoming), ...request.hookEnv },
    timeoutMs: request.timeoutMs,
    onTimeout,
  });
  incoming.pipe(git.child.stdin);
  // A client that went away in the middle must not leave the backend waiting for the rest.
  incoming.once("close", () => git.child.stdin.end());
  return git;
}

function cgiEnvironment(request: BackendRequest, incoming: IncomingMessage): Record<string, string> {
  const { target } = request;
  const endpoint = target.phase === "advertise" ? "info/refs" : `git-${target.operation}`;
  const { headers } = incoming;
  const protocol = headers["git-protocol"];
  return {
    GIT_PROJECT_ROOT: request.projectRoot,
    GIT_HTTP_EXPORT_ALL: "1",
    PATH_INFO: `/${request.repositoryName}/${endpoint}`,
    QUERY_STRING: target.phase === "advertise" ? `service=git-${target.operation}` : "",
    REQUEST_METHOD: incoming.method ?? "",
    CONTENT_TYPE: headers["content-type"] ?? "",
    ...(headers["content-length"] === undefined ? {} : { CONTENT_LENGTH: headers["content-length"] }),
    HTTP_CONTENT_ENCODING: headers["content-encoding"] ?? "",
    REMOTE_USER: request.userId,
    REMOTE_ADDR: incoming.socket.remoteAddress ?? "",
    ...(typeof protocol === "string" && /^[a-z0-9=:.-]{1,200}$/.test(protocol)
      ? { GIT_PROTOCOL: protocol }
      : {}),
  };
}

/**
 * Passes the backend's answer on. When the client goes away the answer is still read to its end, so that git
 * finishes what it began.
 * @returns false when the backend gave no answer; nothing was sent then
 */
export async function passAnswer(
  stdout: Readable,
  response: ServerResponse,
  body: Transform | null,
): Promise<boolean> {
  const head = await readHead(stdout);
  if (head === null) return false;
  response.writeHead(head.status, head.headers);
  const write = (chunk: Buffer): Promise<void> | undefined => {
    if (response.destroyed || response.write(chunk)) return undefined;
    return untilWritable(response);
  };
  const source: AsyncIterable<Buffer> = body === null ? stdout : stdout.pipe(body);
  for await (const chunk of source) await write(chunk);
  response.end();
  return true;
}

function untilWritable(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

interface Head {
  readonly status: number;
  readonly headers: Record<string, string>;
}

/** Reads the CGI header and leaves the body in the stream. */
async function readHead(stdout: Readable): Promise<Head | null> {
  let text = Buffer.alloc(0);
  for (;;) {
    const chunk = await readChunk(stdout);
    if (chunk === null || text.length > MAX_HEADER_BYTES) return null;
    text = Buffer.concat([text, chunk]);
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const rest = text.subarray(end + 4);
    if (rest.length > 0) stdout.unshift(rest);
    return parseHead(text.toString("latin1", 0, end));
  }
}

function readChunk(stdout: Readable): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const take = () => {
      const chunk = stdout.read() as Buffer | null;
      if (chunk === null && !stdout.readableEnded && !stdout.destroyed) return;
      for (const event of ["readable", "end", "close"]) stdout.off(event, take);
      resolve(chunk);
    };
    for (const event of ["readable", "end", "close"]) stdout.on(event, take);
    take();
  });
}

function parseHead(text: string): Head {
  const headers: Record<string, string> = {};
  let status = 200;
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
    else if (colon > 0) headers[name] = value;
  }
  return { status, headers };
}

/**
 * Puts the reason in front of git's report when it could not take the pack.
 * @param problem what was noticed so far
 * @param explain the text for a problem, ending with a line break
 */
export function explainReport(
  problem: () => UnpackProblem | null,
  explain: (problem: UnpackProblem) => string,
): Transform {
  const cutter = new PacketCutter();
  let state = FRESH_REPLY;
  let plain = false;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (plain) return done(null, chunk);
      const packets = cutter.push(chunk);
      plain = packets === null;
      for (const packet of packets ?? [cutter.take()]) {
        const seen = inspectReply(state, packet, problem());
        state = seen.state;
        if (seen.explain !== null) this.push(messagePacket(explain(seen.explain)));
        this.push(packet);
      }
      done();
    },
    flush(done) {
      const rest = cutter.take();
      if (rest.length > 0) this.push(rest);
      done();
    },
  });
}
