/**
 * `watchDeploy`: the build's output so far, then live output and steps until the deploy's final state.
 * What ends it is the stored state, polled each second; signals only make it lively.
 */
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { dropOverlap } from "../../core/merge-lines.ts";
import type { Deploy, FirstResponse } from "../../outbound/deploy-store.ts";
import { readBuildLog, readFirstResponse, readPlan } from "../../outbound/deploy-store.ts";
import type { Addresses } from "../../outbound/service-store.ts";
import { serviceUrl } from "../../outbound/service-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { mustReadDeploy } from "./deploy-handlers.ts";
import type { EventStream } from "./event-stream.ts";
import type { Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
  readonly log: Log;
  readonly addresses: Addresses;
}

type Event = Reply<"watchDeploy">;
type Progress = Extract<Event, { lines: unknown }>;

const POLL_MS = 1000;
/** Signals sent just before the final state was stored are still on their way. */
const LAST_SIGNALS_MS = 300;
const FIRST_RESPONSE_MS = 5000;
const LINES_PER_EVENT = 500;
const BUFFERED_EVENTS = 2000;

export function watchHandler(given: Given): Pick<Handlers, "watchDeploy"> {
  return {
    watchDeploy: async ({ object }, open) => {
      const live = new Relay();
      const subscription = given.bus.on(DeployProgressed, { deployId: object.deployId }, ({ kind, lines }) =>
        live.take({ type: kind, lines }),
      );
      try {
        const [deploy, text] = await Promise.all([
          mustReadDeploy(given.db, object.deployId),
          readBuildLog(given.db, object.deployId),
        ]);
        const stream = open();
        const stored = text === "" ? [] : text.replace(/\n$/, "").split("\n");
        for (let i = 0; i < stored.length; i += LINES_PER_EVENT) {
          stream.send({ type: "output", lines: stored.slice(i, i + LINES_PER_EVENT) });
        }
        const plan = await readPlan(given.db, deploy.id);
        if (plan !== null) stream.send({ type: "step", lines: [`Plan: ${plan}`] });
        if (!deploy.final) stream.send({ type: "step", lines: [`the deploy is ${deploy.state}`] });
        live.connect(stream, stored);
        await untilFinal(given, deploy, stream, serviceUrl(given.addresses, object.hostnameLabel));
      } finally {
        await subscription.close();
      }
    },
  };
}

async function untilFinal(
  { db, log }: Given,
  first: Deploy,
  stream: EventStream<Event>,
  url: string,
): Promise<void> {
  let deploy = first;
  while (!deploy.final) {
    await sleep(POLL_MS, stream.ended);
    if (stream.ended.aborted) return;
    try {
      deploy = await mustReadDeploy(db, deploy.id);
    } catch (error) {
      log.warn("watch.poll-failed", { deployId: deploy.id, error: describeError(error) });
    }
  }
  const response = await waitForFirstResponse(db, deploy, stream.ended);
  await sleep(first.final ? 0 : LAST_SIGNALS_MS, stream.ended);
  stream.send({ type: "finished", deploy, url, firstResponseStatus: response?.status ?? null });
}

/** Only a deploy that succeeded just now can still get its first answer. */
async function waitForFirstResponse(
  db: Db,
  deploy: Deploy,
  ended: AbortSignal,
): Promise<FirstResponse | undefined> {
  const deadlineMs = Date.parse(deploy.finishedAt ?? deploy.createdAt) + FIRST_RESPONSE_MS;
  for (;;) {
    const response = await readFirstResponse(db, deploy.id);
    if (response !== undefined || deploy.state !== "succeeded" || Date.now() > deadlineMs || ended.aborted)
      return response;
    await sleep(250, ended);
  }
}

/** Buffers signals until the stored text was sent, drops what that text already had, then passes on. */
class Relay {
  #buffer: Progress[] = [];
  #stream: EventStream<Event> | undefined;
  #droppedCount = 0;

  take(event: Progress): void {
    if (this.#stream !== undefined) this.#pass(this.#stream, event);
    else if (this.#buffer.length < BUFFERED_EVENTS) this.#buffer.push(event);
  }

  connect(stream: EventStream<Event>, stored: readonly string[]): void {
    const output = this.#buffer.filter((event) => event.type === "output").flatMap((event) => event.lines);
    const fresh = dropOverlap(stored, output);
    if (fresh.length > 0) this.#pass(stream, { type: "output", lines: fresh });
    for (const event of this.#buffer) if (event.type === "step") this.#pass(stream, event);
    this.#buffer = [];
    this.#stream = stream;
  }

  #pass(stream: EventStream<Event>, event: Progress): void {
    if (!stream.offer(event)) {
      this.#droppedCount += event.lines.length;
      return;
    }
    if (this.#droppedCount === 0) return;
    stream.send({
      type: "step",
      lines: [`${this.#droppedCount} lines were left out: the reader is too slow`],
    });
    this.#droppedCount = 0;
  }
}
