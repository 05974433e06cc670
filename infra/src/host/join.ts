/**
 * Joins a machine to a pod: keys are made here and stay here, the pod gets their public halves and answers with
 * signed permissions that hold for this host's subjects only.
 *
 * Files in `hostDir`, all 0600: host.json (what the host knows of itself), agent.creds, logshipper.creds,
 * curve.seed (opens secrets that are sealed to this host), ca.crt.
 */
import { join } from "node:path";
import { HostFile, type JoinReply, joinHost as joinHostRoute } from "@berth/shared/contracts/http/api.ts";
import { fmtCreds } from "@nats-io/jwt";
import { createCurve, createUser, fromCurveSeed, fromSeed, type KeyPair } from "@nats-io/nkeys";
import { z } from "zod";
import { ensureFolder } from "../parts/part-files.ts";
import { readIfThere, readOrCreate, replaceFile } from "../pki/key-file.ts";

const joinTimeoutMs = 20_000;

export type JoinHostOptions = {
  readonly apiUrl: string;
  /** One-time token of `berth hosts token` or POST /v1/hosts/join-tokens. */
  readonly joinToken: string;
  readonly name: string;
  /** Address at which the other hosts reach this one. */
  readonly nodeAddress: string;
  readonly zone?: string;
  readonly hostDir: string;
  /** Docker's folder of trusted registries; null leaves it alone. */
  readonly dockerCertsDir?: string | null;
};

export const defaultDockerCertsDir = "/etc/docker/certs.d";

/** @returns what host.json now holds. @throws Error with the pod's own words when it refuses. */
export async function joinHost(options: JoinHostOptions): Promise<HostFile> {
  const { hostDir } = options;
  await ensureFolder(hostDir, 0o700);
  const agent = await ensureKey(join(hostDir, "agent.seed"), createUser);
  const logshipper = await ensureKey(join(hostDir, "logshipper.seed"), createUser);
  const curve = await readOrCreate(join(hostDir, "curve.seed"), () => seedOf(createCurve()));
  const reply = await askToJoin(options, {
    agentKey: agent.getPublicKey(),
    logshipperKey: logshipper.getPublicKey(),
    curveKey: fromCurveSeed(Buffer.from(curve.trim())).getPublicKey(),
  });
  await writeReply(hostDir, reply, agent, logshipper);
  await trustRegistry(
    options.dockerCertsDir === undefined ? defaultDockerCertsDir : options.dockerCertsDir,
    reply,
  );
  return HostFile.parse(await readHostFile(hostDir));
}

export async function readHostFile(hostDir: string): Promise<HostFile | null> {
  const text = await readIfThere(join(hostDir, "host.json"));
  if (text === null) return null;
  const parsed = HostFile.safeParse(JSON.parse(text));
  if (!parsed.success)
    throw new Error(`${join(hostDir, "host.json")} is damaged: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

type PublicKeys = { readonly agentKey: string; readonly logshipperKey: string; readonly curveKey: string };

async function askToJoin(options: JoinHostOptions, keys: PublicKeys): Promise<JoinReply> {
  const { apiUrl, joinToken: token, name, nodeAddress, zone } = options;
  const body = joinHostRoute.body.parse({
    token,
    name,
    nodeAddress,
    ...(zone === undefined ? {} : { zone }),
    ...keys,
  });
  return joinHostRoute.reply.parse(await callApi(apiUrl, joinHostRoute, body));
}

/** Calls one route of the api. @throws Error that says what was asked and what the api answered. */
export async function callApi(
  apiUrl: string,
  route: { readonly method: string; readonly path: string },
  body: unknown,
  token?: string,
): Promise<unknown> {
  const url = new URL(route.path, apiUrl).href;
  const headers = {
    "content-type": "application/json",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const signal = AbortSignal.timeout(joinTimeoutMs);
  let response: Response;
  try {
    response = await fetch(url, { method: route.method, headers, body: JSON.stringify(body), signal });
  } catch (cause) {
    throw new Error(
      `${route.method} ${url}: no answer (${String(cause)}). Is the api of the pod up and reachable from here?`,
      { cause },
    );
  }
  const text = await response.text();
  if (!response.ok) throw new Error(`${route.method} ${url}: ${response.status} ${refusalText(text)}`);
  return JSON.parse(text);
}

/** The api's message and its next step; other answers as they are, shortened. */
function refusalText(text: string): string {
  const refusal = z.object({ message: z.string(), next: z.string().optional() });
  try {
    const { message, next } = refusal.parse(JSON.parse(text));
    return next === undefined ? message : `${message}. ${next}`;
  } catch {
    return text.slice(0, 500);
  }
}

async function writeReply(
  hostDir: string,
  reply: JoinReply,
  agent: KeyPair,
  logshipper: KeyPair,
): Promise<void> {
  const { agentJwt, logshipperJwt, caCertificatePem, ...hostFile } = reply;
  await replaceFile(join(hostDir, "agent.creds"), credsText(agentJwt, agent));
  await replaceFile(join(hostDir, "logshipper.creds"), credsText(logshipperJwt, logshipper));
  await replaceFile(join(hostDir, "ca.crt"), caCertificatePem);
  // Last, because its presence means "joined".
  await replaceFile(join(hostDir, "host.json"), `${JSON.stringify(hostFile, null, 2)}\n`);
}

/** Docker verifies the registry by this file; it is read at each pull, no restart needed. */
export async function trustRegistry(
  certsDir: string | null,
  pod: { readonly registry: string; readonly caCertificatePem: string },
): Promise<void> {
  if (certsDir === null) return;
  await replaceFile(join(certsDir, pod.registry, "ca.crt"), pod.caCertificatePem, undefined, 0o644);
}

async function ensureKey(file: string, create: () => KeyPair): Promise<KeyPair> {
  return fromSeed(Buffer.from((await readOrCreate(file, () => seedOf(create()))).trim()));
}

function seedOf(pair: { getSeed(): Uint8Array }): string {
  return Buffer.from(pair.getSeed()).toString("utf8");
}

function credsText(jwt: string, user: KeyPair): string {
  return Buffer.from(fmtCreds(jwt, user)).toString("utf8");
}
