/**
 * The bare script's registry: the same program, storage kind and TLS as Berth's, without tokens, with a folder of
 * its own. Engines trust it by the pod's authority, whose certificate of the registry names this address already.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { defaultDockerCertsDir } from "@berth/infra/host/join.ts";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";

const port = 7436;
const startTimeoutMs = 10_000;

export interface BareRegistry {
  /** `host:port`, the first part of an image's name. */
  readonly address: string;
  close(): Promise<void>;
}

export async function startBareRegistry(labPod: LabPod, folder: string): Promise<BareRegistry> {
  const { lab, pod } = labPod;
  const address = `${lab.machineAddress}:${port}`;
  const trusting = [defaultDockerCertsDir, ...lab.hosts.map((host) => join(host.dockerConfigDir, "certs.d"))];
  for (const certs of trusting) {
    await mkdir(join(certs, address), { recursive: true });
    await copyFile(pod.caFile, join(certs, address, "ca.crt"));
  }
  await mkdir(join(folder, "storage"), { recursive: true });
  const pki = join(pod.settings.stateDir, "pki");
  const config = {
    version: "0.1",
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "storage") } },
    http: { addr: address, tls: { certificate: join(pki, "registry.crt"), key: join(pki, "registry.key") } },
  };
  const configFile = join(folder, "config.yml");
  await writeFile(configFile, JSON.stringify(config));
  const child = spawn("/usr/bin/docker-registry", ["serve", configFile], {
    stdio: "ignore",
    env: { OTEL_TRACES_EXPORTER: "none" },
  });
  await waitUntilListening(child, lab.machineAddress);
  const close = async (): Promise<void> => {
    await stop(child);
    for (const certs of trusting) await rm(join(certs, address), { recursive: true, force: true });
  };
  return { address, close };
}

async function waitUntilListening(child: ChildProcess, host: string): Promise<void> {
  const endAtMs = Date.now() + startTimeoutMs;
  while (!(await listens(host))) {
    if (child.exitCode !== null || Date.now() > endAtMs)
      throw new Error(`the bare registry does not listen on ${host}:${port}: is the port in use?`);
    await delay(50);
  }
}

function listens(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    // Only whether it answers: the engines are the ones that check the certificate.
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: 1000 });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("secureConnect", () => done(true));
    socket.once("timeout", () => done(false));
    socket.once("error", () => done(false));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
