/**
 * The activator's own user: strangers' bytes reach it, so it may do nothing but listen, connect, and read the code.
 *
 * What must stay true: the folder with the agent's socket belongs to root, and the activator may only go through it; what it
 * may write is a folder below.
 */
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { ensureSystemUser } from "../install/system-user.ts";
import { ensureFolder } from "../parts/part-files.ts";
import { readableByAll, serviceMain } from "../pod/code.ts";
import type { UserIds } from "../supervisor/user.ts";

export const activatorUser = "berth-activator";

/** What the activator may write, in the host's folder. */
export const activatorStateFolder = join("activator", "state");

/** False in a checkout that only its owner may read: then it runs as root, as every service of such a checkout does. */
export function activatorMayHaveUser(): boolean {
  return readableByAll(serviceMain("activator")) && readableByAll(process.execPath);
}

/** Makes user and folders. @returns the user's name; null when it cannot read the code */
export async function prepareActivator(hostDir: string): Promise<string | null> {
  if (!activatorMayHaveUser()) return null;
  await makeActivatorFolders(hostDir, await ensureSystemUser(activatorUser));
  return activatorUser;
}

export async function makeActivatorFolders(hostDir: string, ids: UserIds): Promise<void> {
  // What lies in it is for root alone; who knows a name in it gets to the activator's folder.
  await chmod(hostDir, 0o711);
  await ensureFolder(join(hostDir, "activator"), 0o710, { uid: 0, gid: ids.gid });
  await ensureFolder(join(hostDir, activatorStateFolder), 0o700, ids);
}
