/** The network namespaces of containers on lab hosts, entered from the machine: with every right that root has there. */
import type { LabHost } from "@berth/infra/lab/lab.ts";

/** A job's container has its address as a label; an environment's proxy is in the engine's network. */
export const ADDRESS_FORMAT =
  '{{with index .Config.Labels "berth.address"}}{{.}}{{else}}{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}{{end}}';

export interface Instance {
  readonly host: LabHost;
  readonly container: string;
  /** As the host sees it. */
  readonly pid: number;
  readonly address: string;
  /** For `nsenter --net=`, on the machine. */
  readonly netns: string;
}

/** @returns the running containers with this label, in the order of the hosts */
export async function instancesOf(hosts: readonly LabHost[], label: string): Promise<Instance[]> {
  return (await Promise.all(hosts.map((host) => onHost(host, label)))).flat();
}

async function onHost(host: LabHost, label: string): Promise<Instance[]> {
  const format = `{{.Id}} {{.State.Pid}} ${ADDRESS_FORMAT}`;
  const list = `docker ps -q --filter label=${label} | xargs -r docker inspect -f '${format}'`;
  const { stdout, stderr, code } = await host.exec(["sh", "-c", list]);
  if (code !== 0) throw new Error(`${host.name}: its containers could not be listed: ${stderr.trim()}`);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [container = "", pid = "", address = ""] = line.split(" ");
      return { host, container, pid: Number(pid), address, netns: netnsOf(host, Number(pid)) };
    });
}

/** @param pid as the host sees it; 1 is the host itself */
export function netnsOf(host: LabHost, pid: number): string {
  return `/proc/${initPid(host)}/root/proc/${pid}/ns/net`;
}

function initPid(host: LabHost): string {
  const words = host.enter();
  const pid = words[words.indexOf("--target") + 1];
  if (pid === undefined) throw new Error(`${host.name}: no first process in ${words.join(" ")}`);
  return pid;
}
