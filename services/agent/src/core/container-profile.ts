/**
 * The container of a job, as the body of the Engine's create call: every limit set, every privilege dropped.
 *
 * Nothing a tenant can write reaches a privilege: from the spec only sizes, ids and the image come in here.
 * Clear secrets are not an argument, so they cannot be seen by `docker inspect`.
 */
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import { bindMount } from "./bind-mount.ts";
import { type ContainerNetworkGiven, containerNetwork, RUNC } from "./container-network.ts";
import { ENTRYPOINT } from "./launch-command.ts";
import { shimGroup } from "./shim-group.ts";

/** What an image that runs as root gets; never NET_RAW, MKNOD, SYS_* or AUDIT_WRITE. */
const CAPABILITIES_OF_ROOT = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "SETUID",
  "SETGID",
  "KILL",
  "NET_BIND_SERVICE",
];

const LOG_OPTIONS = { "max-size": "16m", "max-file": "2" };
const FILES_SOFT = 4096;
const FILES_HARD = 8192;

const OWN_MEMORY = "rw,size=64m,nosuid,nodev,noexec,mode=1777";
/**
 * An IPC namespace of its own, and a `/dev/shm` that is mounted in the container alone. With "private" the engine mounts one
 * per container on the host, and all that starts there has to look through those.
 */
const SHARED_MEMORY = { IpcMode: "none", Tmpfs: { "/tmp": OWN_MEMORY, "/dev/shm": OWN_MEMORY } };

export interface ProfileGiven extends Omit<ContainerNetworkGiven, "runtime" | "hostname"> {
  readonly podId: string;
  readonly attempt: number;
  readonly imageReference: string;
  readonly argv: readonly string[];
  /** Folders of the agent on the host. */
  readonly secretsFolder: string;
  readonly busyboxFolder: string;
  /** Text of the seccomp profile. */
  readonly seccomp: string;
  readonly cgroupParent: string | null;
}

export function containerName(spec: JobSpec, attempt: number): string {
  return `berth-${spec.jobId}-e${spec.epoch}-a${attempt}`;
}

export function containerLabels(spec: JobSpec, podId: string, attempt: number): Record<string, string> {
  return {
    "berth.pod": podId,
    "berth.job": spec.jobId,
    "berth.epoch": String(spec.epoch),
    "berth.attempt": String(attempt),
    "berth.org": spec.orgId,
    "berth.environment": spec.environmentId,
    "berth.service": spec.serviceId,
    "berth.process": spec.process,
    "berth.slot": String(spec.slot),
    "berth.release": spec.releaseId,
    "berth.release-version": String(spec.releaseVersion),
    "berth.deploy": spec.deployId,
  };
}

export function hostnameOf({ process, slot }: Pick<JobSpec, "process" | "slot">): string {
  return `${process}-${slot}`.replaceAll("_", "-");
}

export function containerBody(spec: JobSpec, given: ProfileGiven) {
  const hostname = hostnameOf(spec);
  const network = containerNetwork({ ...given, hostname, runtime: spec.constraints.runtime });
  const host = hostConfig(spec, given);
  return {
    Image: given.imageReference,
    // tini passes signals to the whole group, so an app behind `sh -c` gets its SIGTERM.
    Env: ["TINI_KILL_PROCESS_GROUP=1"],
    Entrypoint: [...ENTRYPOINT],
    Cmd: [...given.argv],
    Hostname: hostname,
    Labels: { ...containerLabels(spec, given.podId, given.attempt), ...network.labels },
    AttachStdin: false,
    OpenStdin: false,
    Tty: false,
    ...network.body,
    HostConfig: { ...host, ...network.hostConfig, Mounts: [...host.Mounts, ...network.mounts] },
  };
}

function hostConfig(spec: JobSpec, given: ProfileGiven) {
  const { resources, profile } = spec;
  return {
    ...isolation(given),
    CapAdd: profile.runsAsRoot ? [...CAPABILITIES_OF_ROOT] : [],
    ReadonlyRootfs: profile.rootFilesystem === "read-only",
    Memory: resources.memoryBytes,
    MemorySwap: resources.memoryBytes,
    NanoCpus: resources.cpuMillis * 1_000_000,
    PidsLimit: resources.pidsCount,
    Ulimits: [
      { Name: "nofile", Soft: FILES_SOFT, Hard: FILES_HARD },
      { Name: "core", Soft: 0, Hard: 0 },
    ],
    OomScoreAdj: 500,
    RestartPolicy: { Name: "no" },
    Runtime: spec.constraints.runtime,
    ...(spec.constraints.runtime === RUNC
      ? { Annotations: shimGroup(spec.environmentId, given.address) }
      : {}),
    LogConfig: { Type: "json-file", Config: { ...LOG_OPTIONS } },
    ...(given.cgroupParent === null ? {} : { CgroupParent: given.cgroupParent }),
  };
}

function isolation(given: ProfileGiven) {
  return {
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges:true", `seccomp=${given.seccomp}`],
    Privileged: false,
    ...SHARED_MEMORY,
    CgroupnsMode: "private" as const,
    Init: true,
    Devices: [],
    Mounts: [
      bindMount(given.busyboxFolder, "/.berth-init", { readOnly: true }),
      bindMount(given.secretsFolder, "/run/secrets", { readOnly: true }),
    ],
    PublishAllPorts: false,
  };
}
