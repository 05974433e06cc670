/** One request of a git client: token, service, a free slot, then git's own http-backend. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ErrorCode } from "@berth/shared/contracts/errors.ts";
import { BerthError, ERRORS } from "@berth/shared/contracts/errors.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { withSpan } from "@berth/shared/kit/telemetry.ts";
import type { UnpackProblem } from "../core/explain-unpack.ts";
import type { GitTarget } from "../core/parse-git-url.ts";
import { parseGitUrl } from "../core/parse-git-url.ts";
import type { PushLimits } from "../core/push-limits.ts";
import { refusedLines } from "../core/write-messages.ts";
import type { Directory } from "../outbound/directory.ts";
import type { GitCage } from "../outbound/git-process.ts";
import { explainReport, passAnswer, startBackend } from "../outbound/http-backend.ts";
import type { Repositories } from "../outbound/repositories.ts";
import type { Authorised } from "./authorise.ts";
import { authorise } from "./authorise.ts";
import type { PushSession, PushSessions } from "./push-session.ts";
import type { TransferSlots } from "./transfer-slots.ts";

export interface GitRequestGiven {
  readonly basePath: string;
  readonly directory: Directory;
  readonly repositories: Repositories;
  readonly sessions: PushSessions;
  readonly slots: TransferSlots;
  readonly cage: GitCage;
  readonly limits: PushLimits;
  readonly hookSocketPath: string;
  readonly transferTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const SLOT_TIMEOUT_MS = 15_000;

export async function answerRequest(
  given: GitRequestGiven,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAtMs = given.clock.nowMs();
  try {
    if (request.url === "/health") return sendText(response, 200, "ok\n");
    const target = parseGitUrl(request.method ?? "", request.url ?? "", given.basePath);
    if (target.kind === "unknown") throw new BerthError("not-found", `${sentence(target.reason)}.`);
    const allowed = await authorise(
      given.directory,
      target,
      request.headers.authorization,
      given.clock.nowMs(),
    );
    if (target.operation === "receive-pack" && target.phase === "advertise")
      given.sessions.discovering(allowed.service, allowed.userId, startedAtMs);
    await transfer(given, target, allowed, request, response);
  } catch (error) {
    sendError(given.log, response, error);
  }
}

async function transfer(
  given: GitRequestGiven,
  target: GitTarget,
  allowed: Authorised,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { service } = allowed;
  const release = await given.slots.acquire(service.orgId, SLOT_TIMEOUT_MS);
  try {
    await given.repositories.ensure(service.id, service.deployBranch);
    const isPush = target.operation === "receive-pack" && target.phase === "transfer";
    if (isPush) await push(given, target, allowed, request, response, release);
    else await run(given, target, allowed, request, response, null);
  } finally {
    release();
  }
}

/** The span of a push ends when its deploy is stored; the answer may go on for minutes, without a slot. */
async function push(
  given: GitRequestGiven,
  target: GitTarget,
  allowed: Authorised,
  request: IncomingMessage,
  response: ServerResponse,
  release: () => void,
): Promise<void> {
  const { service, userId } = allowed;
  const startedAtMs = given.clock.nowMs();
  const recorded = Promise.withResolvers<void>();
  let running: Promise<void> = Promise.resolve();
  await withSpan("git push", { serviceId: service.id, orgId: service.orgId }, async () => {
    const received = Promise.withResolvers<void>();
    const session = given.sessions.open({
      service,
      userId,
      startedAtMs,
      onReceived: received.resolve,
      onRecorded: () => {
        release();
        recorded.resolve();
      },
    });
    response.once("close", () => session.unheard.abort());
    running = run(given, target, allowed, request, response, { session, received: received.promise }).finally(
      () => {
        given.sessions.end(session);
        recorded.resolve();
      },
    );
    await Promise.race([recorded.promise, running]);
  });
  await running;
}

interface PushRun {
  readonly session: PushSession;
  /** Resolves when the refs are changed; from then on there is no deadline here. */
  readonly received: Promise<void>;
}

async function run(
  given: GitRequestGiven,
  target: GitTarget,
  allowed: Authorised,
  request: IncomingMessage,
  response: ServerResponse,
  pushRun: PushRun | null,
): Promise<void> {
  const { service, userId } = allowed;
  const problem = watchPack(given, request);
  const backend = {
    target,
    userId,
    gitDir: given.repositories.path(service.id),
    projectRoot: given.repositories.root,
    repositoryName: `${service.id}.git`,
    hookEnv:
      pushRun === null ? {} : { BERTH_PUSH_ID: pushRun.session.id, BERTH_HOOK_SOCKET: given.hookSocketPath },
    timeoutMs: given.transferTimeoutMs,
  };
  const git = startBackend(given.cage, backend, request, () => problem.set("timeout"));
  void pushRun?.received.then(git.forgetDeadline);
  // Nobody waits for a fetch whose client is gone; a push runs to its end.
  if (pushRun === null) response.once("close", git.kill);
  const body = pushRun === null ? null : explainReport(problem.get, (found) => explain(given.limits, found));
  const answered = await passAnswer(git.child.stdout, response, body);
  const code = await git.ended;
  if (code !== 0 && !response.destroyed) {
    given.log.warn("git.backend-failed", {
      serviceId: service.id,
      operation: target.operation,
      code,
      stderr: git.stderrTail(),
    });
  }
  if (!answered) throw new BerthError("internal", "git ended without an answer.");
}

/** Notices a pack that passes the size limit, which git itself reports only in its own words. */
function watchPack(
  given: GitRequestGiven,
  request: IncomingMessage,
): { get: () => UnpackProblem | null; set: (problem: UnpackProblem) => void } {
  let bytes = 0;
  let problem: UnpackProblem | null = null;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > given.limits.packBytes) problem ??= "pack-size";
  });
  return {
    get: () => problem,
    set: (found) => {
      problem = found;
    },
  };
}

function explain(limits: PushLimits, problem: UnpackProblem): string {
  const [code, message] = UNPACK_TEXTS[problem](limits);
  return `${refusedLines({ code, message, next: ERRORS[code].next }).join("\n")}\n`;
}

const UNPACK_TEXTS: Record<UnpackProblem, (limits: PushLimits) => [ErrorCode, string]> = {
  "pack-size": (limits) => [
    "push-pack-size",
    `The pack is larger than ${limits.packBytes} bytes, which is the limit.`,
  ],
  objects: (limits) => [
    "push-too-many-objects",
    `The push has more than ${limits.objectsCount} objects, which is the limit.`,
  ],
  timeout: () => ["push-pack-size", "The upload took too long."],
  fsck: () => ["push-fsck", "git did not take the pack; its own words are above."],
};

function sendError(log: Log, response: ServerResponse, error: unknown): void {
  const known =
    error instanceof BerthError
      ? error
      : new BerthError("internal", "Berth failed in a way it does not know.", { cause: error });
  if (known.code === "internal" || known.code === "unavailable")
    log.error("request.failed", { error: describeError(error) });
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (known.code === "unauthenticated")
    response.setHeader(
      "WWW-Authenticate",
      'Basic realm="Berth: user name berth, password your API token", charset="UTF-8"',
    );
  if (known.code === "too-many-requests") response.setHeader("Retry-After", "5");
  // The connection is not used again: a body that nobody read may follow.
  response.setHeader("Connection", "close");
  sendText(response, known.entry.status, `${known.message} ${known.entry.next}\n`);
}

/** git shows the text of an error only when its type is exactly this. */
function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache" });
  response.end(text);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
