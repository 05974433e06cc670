/** `berth services http`: how the edges treat a service's requests; shown, or set at once from a berth.yaml. */
import { readFile } from "node:fs/promises";
import type { HttpOptions } from "@berth/shared/domain/http-options.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import { readAppFile } from "@berth/shared/kit/app-file.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { type Command, Option } from "commander";
import type { Answer, Client } from "../client.ts";
import { formatDuration } from "../core/parse-duration.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { CliError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

interface HttpFlags extends EnvFlags {
  readonly file?: string;
  readonly clear?: boolean;
}

type Shown = Answer<"showServiceHttp">;
const CONFIRM_MS = 60_000;
const LOOK_EVERY_MS = 200;

export function registerServiceHttpCommand(services: Command): void {
  examples(
    withEnv(services.command("http [service]"))
      .description(
        "stickiness, limits, timeouts, CORS, redirects and headers at the edges: shown, or set without a deploy",
      )
      .addOption(new Option("--file <file>", "take the http part of this berth.yaml").conflicts("clear"))
      .option("--clear", "none of them")
      .action(httpCommand),
    "berth services http shop",
    "berth services http shop --file berth.yaml",
    "berth services http shop --clear",
  );
}

async function httpCommand(name: string | undefined, flags: HttpFlags): Promise<void> {
  const http = flags.clear === true ? {} : flags.file === undefined ? null : await readHttp(flags.file);
  const client = await connect();
  const params = await findService(client, name, flags.env);
  if (http !== null) await client.call("changeServiceHttp", { params, body: { http } });
  const shown =
    http === null
      ? await client.call("showServiceHttp", { params })
      : await withProgress("waiting for every edge to serve it", untilServed(client, params));
  if (flags.json === true) return printJson(shown);
  for (const line of httpLines(shown.http)) print(line);
  say(shown.acknowledged ? "every edge serves it" : "not served by every edge yet");
}

/** @throws CliError when the file is wrong or has no such part */
async function readHttp(file: string): Promise<HttpOptions> {
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new CliError(`${file} cannot be read: ${cause.message}`, { cause });
  });
  const read = readAppFile(text);
  if (read.kind === "problems") {
    const lines = read.problems.map((one) => `${file}:${one.line}:${one.column}  ${one.text}`);
    throw new CliError(`${file} cannot be used:\n${lines.join("\n")}`, {
      next: "Correct it; docs/BERTH-YAML.md has every key with an example.",
    });
  }
  if (read.wishes.config.http !== undefined) return read.wishes.config.http;
  throw new CliError(`${file} has no part http`, { next: "Add it, or use --clear to have no options." });
}

/** @throws CliError when some edge did not say so in time */
async function untilServed(client: Client, params: ServiceAddress): Promise<Shown> {
  const deadline = performance.now() + CONFIRM_MS;
  for (;;) {
    const shown = await client.call("showServiceHttp", { params });
    if (shown.acknowledged) return shown;
    if (performance.now() > deadline)
      throw new CliError(`stored, but not confirmed by every edge within ${CONFIRM_MS / 1000} s`, {
        next: "It follows by itself; look with `berth services http` and `berth hosts list`.",
      });
    await sleep(LOOK_EVERY_MS);
  }
}

function httpLines(http: HttpOptions): string[] {
  const { sticky, bodyLimitBytes, cors, redirects, headers } = http;
  const silent = (atMostMs: number | undefined): string =>
    atMostMs === undefined ? "the pod's limit" : `silent for at most ${formatDuration(atMostMs)}`;
  return [
    `sticky     ${sticky === true ? "on" : "off"}`,
    `body       ${bodyLimitBytes === undefined ? "as large as the app takes" : `at most ${formatBytes(bodyLimitBytes)}`}`,
    `response   ${silent(http.responseTimeoutMs)}`,
    `stream     ${http.streamTimeoutMs === undefined ? "as response" : silent(http.streamTimeoutMs)}`,
    `websocket  ${silent(http.websocketTimeoutMs)}`,
    `cors       ${cors === undefined ? "the app's own" : `${cors.origins.join(" ")} (${cors.methods.join(" ")})`}`,
    ...(redirects ?? []).map(
      ({ from, to, status }) => `redirect   ${clean(from)} to ${clean(to)} (${status})`,
    ),
    ...Object.entries(headers ?? {}).map(([name, text]) => `header     ${name}: ${clean(text)}`),
  ];
}
