/**
 * The container of an environment's proxy, as the body of the Engine's create call. It holds this environment's keys and
 * reads strangers' bytes: no capability, no root, nothing to write but its socket's folder, and limits on all it uses.
 */
import { createHash } from "node:crypto";
import { bindMount } from "../../core/bind-mount.ts";

/** Where edges send what they pass on. */
export const PROXY_PORT = 8443;
/** Threads and file descriptors, of which memory is set apart for each; the rest is for connections: 30 to 80 KiB each. */
export const PROXY_SIZE = { threadsCount: 2, filesCount: 8192 } as const;
export const PROXY_MEMORY_BYTES = 192 * 1024 * 1024;
const PROXY_PIDS = 32;
/** Nobody's: no user of a Debian system, and no name is needed. */
const PROXY_USER = "65532:65532";

export interface ProxyContainerGiven {
  readonly podId: string;
  readonly environmentId: string;
  readonly image: string;
  /** Folder of its files, at the same path inside. */
  readonly dir: string;
  /** Folder in which the activator listens for this environment; null: there is none. */
  readonly heldDir: string | null;
  readonly networkName: string;
  readonly address: string;
  readonly seccomp: string;
  readonly cgroupParent: string | null;
}

export const LABELS = {
  pod: "berth.proxy.pod",
  environment: "berth.proxy.environment",
  instance: "berth.proxy.instance",
  form: "berth.proxy.form",
  address: "berth.proxy.address",
} as const;

/** Folder inside `dir` that the proxy may write. */
export const RUN_FOLDER = "run";

export function proxyBody(given: ProxyContainerGiven, instance: string) {
  const { dir, heldDir, image } = given;
  return {
    Image: image,
    User: PROXY_USER,
    Entrypoint: ["/usr/sbin/haproxy"],
    Cmd: ["-W", "-db", "-f", `${dir}/haproxy.cfg`],
    // Soft: it takes no new connection, and ends when those that it has do.
    StopSignal: "SIGUSR1",
    Labels: {
      [LABELS.pod]: given.podId,
      [LABELS.environment]: given.environmentId,
      [LABELS.instance]: instance,
      [LABELS.form]: proxyForm(given),
      [LABELS.address]: given.address,
    },
    AttachStdin: false,
    OpenStdin: false,
    Tty: false,
    HostConfig: {
      ...limits(given),
      Mounts: [
        bindMount(dir, dir, { readOnly: true }),
        bindMount(`${dir}/${RUN_FOLDER}`, `${dir}/${RUN_FOLDER}`, { readOnly: false }),
        ...(heldDir === null ? [] : [bindMount(heldDir, heldDir, { readOnly: true })]),
      ],
      NetworkMode: given.networkName,
    },
    NetworkingConfig: {
      EndpointsConfig: { [given.networkName]: { IPAMConfig: { IPv4Address: given.address } } },
    },
  };
}

function limits({ seccomp, cgroupParent }: ProxyContainerGiven) {
  return {
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges:true", `seccomp=${seccomp}`],
    Privileged: false,
    ReadonlyRootfs: true,
    IpcMode: "none",
    CgroupnsMode: "private" as const,
    Memory: PROXY_MEMORY_BYTES,
    MemorySwap: PROXY_MEMORY_BYTES,
    PidsLimit: PROXY_PIDS,
    Ulimits: [
      { Name: "nofile", Soft: PROXY_SIZE.filesCount, Hard: PROXY_SIZE.filesCount },
      { Name: "core", Soft: 0, Hard: 0 },
    ],
    RestartPolicy: { Name: "no" },
    LogConfig: { Type: "json-file", Config: { "max-size": "16m", "max-file": "2" } },
    ...(cgroupParent === null ? {} : { CgroupParent: cgroupParent }),
  };
}

/** What a running container has to be the same in, or another one takes its place: image and profile. */
export function proxyForm({
  image,
  seccomp,
  cgroupParent,
}: Pick<ProxyContainerGiven, "image" | "seccomp" | "cgroupParent">): string {
  const parts = [
    ...[image, seccomp, cgroupParent, PROXY_USER],
    ...[PROXY_MEMORY_BYTES, PROXY_PIDS, PROXY_PORT, PROXY_SIZE.filesCount],
  ];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 12);
}
