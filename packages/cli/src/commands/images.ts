/** `berth deploy` and `berth registry`: ready images. */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { ImageName } from "@berth/shared/domain/image-reference.ts";
import type { Command } from "commander";
import { addRegistryToken } from "../core/docker-config.ts";
import { clean } from "../output/clean.ts";
import { printJson, say } from "../output/print.ts";
import { CliError, usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";
import { watchDeploy } from "./watch.ts";

export function registerImageCommands(program: Command): void {
  examples(
    withEnv(program.command("deploy <service> <image>"))
      .description("deploy a ready image: :TAG of the service's own repository, or one of a public registry")
      .option("-d, --detach", "do not wait for the deploy's end")
      .action(deploy),
    "berth deploy shop :v1",
    "berth deploy shop nginx:1.27",
    "berth deploy shop ghcr.io/acme/shop@sha256:…",
  );
  const registry = program.command("registry").description("push images to a service's own repository");
  examples(
    withEnv(registry.command("login [service]"))
      .description("let docker push to the service's repository, and nowhere else, for some minutes")
      .option("--docker-config <dir>", "folder of Docker's config.json (or DOCKER_CONFIG)")
      .option("--ca-file <path>", "also write the certificate of the pod's authority there")
      .action(login),
    "berth registry login shop",
    "sudo berth registry login shop --ca-file /etc/docker/certs.d/HOST:PORT/ca.crt",
    "berth registry login shop --json",
  );
}

interface DeployFlags extends EnvFlags {
  readonly detach?: boolean;
}

async function deploy(name: string, image: string, flags: DeployFlags): Promise<void> {
  const named = ImageName.safeParse(image);
  if (!named.success)
    throw usageError(`${JSON.stringify(image)} is not an image`, `It ${named.error.issues[0]?.message}.`);
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("deployImage", { params, body: { image } });
  const detached = flags.detach === true;
  if (flags.json === true && detached) return printJson(reply);
  if (flags.json !== true) say(`deploying ${clean(reply.image)} to ${params.service}`);
  if (detached) return say(`follow it with: berth deploys watch ${reply.deployId}`);
  await watchDeploy(client, reply.deployId, flags.json === true);
}

interface LoginFlags extends EnvFlags {
  readonly dockerConfig?: string;
  readonly caFile?: string;
}

async function login(name: string | undefined, flags: LoginFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("createRegistryToken", { params });
  if (flags.caFile !== undefined) {
    await mkdir(dirname(flags.caFile), { recursive: true });
    await writeFile(flags.caFile, reply.caCertificatePem);
  }
  if (flags.json === true) return printJson(reply);
  const dir = flags.dockerConfig ?? (process.env.DOCKER_CONFIG || join(homedir(), ".docker"));
  await storeToken(dir, reply.registry, reply.token);
  const minutes = Math.max(1, Math.round((reply.expiresAtMs - Date.now()) / 60_000));
  const image = `${clean(reply.registry)}/${clean(reply.repository)}:TAG`;
  say(`docker may push to ${params.service}'s repository for ${minutes} minutes:`);
  say(`  docker tag IMAGE ${image}`);
  say(`  docker push ${image}`);
  say(`  berth deploy ${params.service} :TAG`);
  if (flags.caFile === undefined)
    say(
      `Does the engine not trust the registry's certificate? Once, as root: --ca-file /etc/docker/certs.d/${clean(reply.registry)}/ca.crt`,
    );
}

async function storeToken(dir: string, registry: string, token: string): Promise<void> {
  const file = join(dir, "config.json");
  const before = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new CliError(`${file} cannot be read: ${error.message}`, { cause: error });
  });
  const changed = addRegistryToken(before, registry, token);
  if (changed.kind === "refused")
    throw new CliError(`${file} was not changed: ${changed.reason}`, {
      next: "Use another folder for this: --docker-config ./docker, then docker --config ./docker push IMAGE",
    });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const beside = `${file}.${process.pid}`;
  await writeFile(beside, changed.text, { mode: 0o600 });
  await rename(beside, file);
}
