/**
 * A folder per environment in which the activator opens that environment's door. The folder above is root's: the activator
 * cannot put another folder, or a link, in the place of one that is mounted into a container.
 */
import { chmod, chown, lstat, mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { DOORS_FOLDER } from "@berth/shared/contracts/activator.ts";

export class DoorFolders {
  readonly #root: string;
  readonly #stateDir: string;

  constructor(hostDir: string) {
    this.#root = join(hostDir, DOORS_FOLDER);
    this.#stateDir = join(hostDir, "activator", "state");
  }

  path(environmentId: string): string {
    return join(this.#root, environmentId);
  }

  /** @returns the folder, which the activator may write and its environment's proxies may read */
  async ensure(environmentId: string): Promise<string> {
    // Its own folder, not what a link of its leads to.
    const { uid, gid } = await lstat(this.#stateDir).catch(() => ({ uid: 0, gid: 0 }));
    await mkdir(this.#root, { recursive: true, mode: 0o710 });
    await chown(this.#root, 0, gid);
    await chmod(this.#root, 0o710);
    const path = this.path(environmentId);
    await mkdir(path, { recursive: true });
    await chmod(path, 0o755);
    await chown(path, uid, gid);
    return path;
  }

  async keep(environmentIds: ReadonlySet<string>): Promise<void> {
    const is = await stat(this.#root).catch(() => null);
    if (is === null) return;
    for (const name of await readdir(this.#root))
      if (!environmentIds.has(name)) await rm(this.path(name), { recursive: true, force: true });
  }
}
