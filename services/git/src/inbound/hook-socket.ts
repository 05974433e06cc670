/** The unix socket on which git's hooks ask what to do and say. Only this process's own pushes are answered. */
import { mkdir, rm } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { ERRORS } from "@berth/shared/contracts/errors.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import type { PushRefusal } from "../core/push-limits.ts";
import { refuse } from "../core/push-limits.ts";
import { refusedLines } from "../core/write-messages.ts";
import type { Repositories } from "../outbound/repositories.ts";
import type { HookRequest } from "./hook-request.ts";
import { isOwnQuarantine, parseHookRequest, readHookRequest } from "./hook-request.ts";
import type { PostReceiveGiven } from "./post-receive.ts";
import { finishPush } from "./post-receive.ts";
import type { PreReceiveGiven } from "./pre-receive.ts";
import { checkPush } from "./pre-receive.ts";
import type { PushSession, PushSessions } from "./push-session.ts";

export interface HookSocketGiven {
  readonly sessions: PushSessions;
  readonly repositories: Repositories;
  readonly preReceive: PreReceiveGiven;
  readonly postReceive: PostReceiveGiven;
  readonly log: Log;
}

/** The kernel's limit for a socket's path. */
const SOCKET_PATH_BYTES = 107;
/** A reader that is this far behind loses lines, not the deploy. */
const MAX_UNSENT_BYTES = 4 * 1024 ** 2;

export async function serveHooks(path: string, given: HookSocketGiven): Promise<Closable> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
    throw new Error(
      `the path of the hook socket is longer than ${SOCKET_PATH_BYTES} bytes: ${path}; choose a shorter BERTH_STATE_DIR`,
    );
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void answerHook(socket, given);
  });
  await listen(server, path);
  return { close: () => void server.close() };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}

async function answerHook(socket: Socket, given: HookSocketGiven): Promise<void> {
  let code = 1;
  try {
    const request = parseHookRequest(await readHookRequest(socket));
    const session = request === null ? undefined : given.sessions.find(request.pushId);
    if (request === null || session === undefined)
      given.log.warn("hook.unknown-push", { hook: request?.hook });
    else code = await answer(socket, request, session, given);
  } catch (error) {
    given.log.warn("hook.failed", { error: describeError(error) });
  }
  if (!socket.destroyed) socket.end(`=${code}\n`);
}

async function answer(
  socket: Socket,
  request: HookRequest,
  session: PushSession,
  given: HookSocketGiven,
): Promise<number> {
  const say = talkTo(socket);
  if (request.hook === "post-receive") {
    session.onReceived();
    socket.once("close", () => session.unheard.abort());
    await finishPush(given.postReceive, session, request, say);
    return 0;
  }
  const refusal = await check(request, session, given);
  if (refusal !== null) {
    for (const line of refusedLines({ ...refusal, next: ERRORS[refusal.code].next })) say(line);
    return 1;
  }
  crashPoint("git.before-ref-update");
  return 0;
}

async function check(
  request: HookRequest,
  session: PushSession,
  given: HookSocketGiven,
): Promise<PushRefusal | null> {
  const gitDir = given.repositories.path(session.service.id);
  if (!isOwnQuarantine(request, gitDir)) return refuse("internal", "The push has no quarantine.");
  const startedMs = performance.now();
  try {
    const refusal = await checkPush(given.preReceive, session, request, gitDir);
    const { id: serviceId, orgId } = session.service;
    given.log.info("push.checked", {
      serviceId,
      orgId,
      userId: session.userId,
      refused: refusal?.code,
      checkMs: Math.round(performance.now() - startedMs),
    });
    return refusal;
  } catch (error) {
    given.log.error("push.check-failed", { serviceId: session.service.id, error: describeError(error) });
    return refuse("internal", "The push could not be checked.");
  }
}

function talkTo(socket: Socket): (line: string) => void {
  socket.on("error", () => {}); // the pusher is gone; `close` tells
  let droppedCount = 0;
  return (line) => {
    if (socket.destroyed) return;
    if (socket.writableLength > MAX_UNSENT_BYTES) {
      droppedCount += 1;
      return;
    }
    if (droppedCount > 0)
      socket.write(`>       (${droppedCount} lines were left out: they came faster than you read)\n`);
    droppedCount = 0;
    socket.write(`>${line}\n`);
  };
}
