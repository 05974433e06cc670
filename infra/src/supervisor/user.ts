/** Looks a user name up in /etc/passwd. Processes are started with its uid and gid and no other groups. */
import { readFileSync } from "node:fs";

export type UserIds = { readonly uid: number; readonly gid: number };

/** @throws Error when there is no such user. */
export function userIds(name: string): UserIds {
  const ids = findUser(readFileSync("/etc/passwd", "utf8"), name);
  if (ids === null)
    throw new Error(`user ${name} is not in /etc/passwd; create it with: adduser --system --group ${name}`);
  return ids;
}

export function findUser(passwd: string, name: string): UserIds | null {
  for (const line of passwd.split("\n")) {
    const [user, , uid, gid] = line.split(":");
    if (user === name && uid !== undefined && gid !== undefined)
      return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}
