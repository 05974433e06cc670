/** The host's ends of containers' cables, by what a container's own sysfs says of its other end. */
import { readdir, readFile } from "node:fs/promises";

const FOLDER = "/sys/class/net";

export class ContainerPorts {
  /** Interface → its number: read once, because numbers do not change. */
  #numbers = new Map<string, number>();

  /** @returns null when the process has no `eth0`, or its other end is not here */
  async of(pid: number): Promise<string | null> {
    const wanted = await numberIn(`/proc/${pid}/root/sys/class/net/eth0/iflink`);
    if (wanted === null) return null;
    const names = (await readdir(FOLDER)).filter((name) => name.startsWith("veth"));
    const numbers = new Map<string, number>();
    for (const name of names) {
      const number = this.#numbers.get(name) ?? (await numberIn(`${FOLDER}/${name}/ifindex`));
      if (number !== null) numbers.set(name, number);
    }
    this.#numbers = numbers;
    return [...numbers].find(([, number]) => number === wanted)?.[0] ?? null;
  }
}

async function numberIn(path: string): Promise<number | null> {
  const text = await readFile(path, "utf8").catch(() => "");
  const value = Number(text.trim());
  return text === "" || !Number.isInteger(value) ? null : value;
}
