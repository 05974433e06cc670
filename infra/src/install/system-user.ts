/** System users that the parts run as. Created when missing, never changed. */
import { readFile } from "node:fs/promises";
import { run } from "../run-command.ts";
import { findUser, type UserIds, userIds } from "../supervisor/user.ts";

const useraddTimeoutMs = 20_000;

/** @throws Error when it is missing and this process may not create it. */
export async function ensureSystemUser(name: string): Promise<UserIds> {
  if (findUser(await readFile("/etc/passwd", "utf8"), name) === null) {
    if (process.getuid?.() !== 0)
      throw new Error(
        `system user ${name} is missing. Run this as root, or: sudo useradd --system --user-group ${name}`,
      );
    const command = [
      "useradd",
      "--system",
      "--user-group",
      "--no-create-home",
      "--home-dir",
      "/nonexistent",
      "--shell",
      "/usr/sbin/nologin",
      name,
    ];
    await run(command, { timeoutMs: useraddTimeoutMs });
  }
  return userIds(name);
}
