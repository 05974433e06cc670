/**
 * The first person of a pod: an org, an operator and a token, written as the api's own role, audited like any
 * privileged act. The token is kept in the pki folder, so that `up` finds it again and the CLI can be given it.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { formatId, type IdKind } from "@berth/shared/domain/ids.ts";
import type pg from "pg";
import { z } from "zod";
import { withClient } from "../migrate.ts";
import { replaceFile } from "../pki/key-file.ts";
import { ensurePassword } from "../pki/pod-pki.ts";
import type { Progress } from "../progress.ts";

export const firstOrg = "main";

export type AdminGiven = { readonly databaseUrl: string; readonly pkiDir: string; readonly email: string };

/** @returns the operator's token, `berth_` and 40 hexadecimal digits. */
export async function ensureAdmin({ databaseUrl, pkiDir, email }: AdminGiven): Promise<string> {
  const token = await ensurePassword(pkiDir, "admin-token", () => `berth_${randomBytes(20).toString("hex")}`);
  const hash = createHash("sha256").update(token).digest("hex");
  await withClient(databaseUrl, async (client) => {
    await client.query("SET search_path = api");
    const { rowCount } = await client.query("SELECT 1 FROM tokens WHERE hash = $1", [hash]);
    if (rowCount === 0) await insertAdmin(client, email, hash);
  });
  return token;
}

async function insertAdmin(client: pg.Client, email: string, hash: string): Promise<void> {
  await client.query("BEGIN");
  try {
    const org = await idOf(
      client,
      "INSERT INTO orgs (id, name) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
      [newId("org"), firstOrg],
    );
    const user = await idOf(
      client,
      "INSERT INTO users (id, email, is_operator) VALUES ($1, $2, true) ON CONFLICT (email) DO UPDATE SET is_operator = true RETURNING id",
      [newId("user"), email],
    );
    await client.query(
      "INSERT INTO members (org_id, user_id, role) VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING",
      [org, user],
    );
    const token = newId("token");
    await client.query("INSERT INTO tokens (id, user_id, name, hash) VALUES ($1, $2, 'first operator', $3)", [
      token,
      user,
      hash,
    ]);
    await client.query(
      "INSERT INTO audit (org_id, actor, action, target) VALUES ($1, 'berth up', 'token.create', $2)",
      [org, token],
    );
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw new Error(`the first operator could not be made: ${String(error)}`, { cause: error });
  }
}

async function idOf(client: pg.Client, sql: string, values: readonly string[]): Promise<string> {
  const { rows } = await client.query<{ id: string }>(sql, [...values]);
  return z.object({ id: z.string() }).parse(rows[0]).id;
}

function newId(kind: IdKind): string {
  return formatId(kind, Date.now(), randomBytes(10));
}

const Credentials = z.object({ apiUrl: z.string(), token: z.string() });

export function credentialsPath(): string {
  return join(homedir(), ".config", "berth", "credentials.json");
}

/** Gives the CLI of this user the token, unless it is logged in to another pod. */
export async function writeCliCredentials(apiUrl: string, token: string, progress: Progress): Promise<void> {
  const path = credentialsPath();
  const present = await readCredentials(path);
  if (present !== null && present.apiUrl !== apiUrl) {
    progress(
      `${path} belongs to ${present.apiUrl} and was left alone; log in here with: berth login --api ${apiUrl}`,
    );
    return;
  }
  if (present?.token === token) return;
  await replaceFile(path, `${JSON.stringify({ apiUrl, token }, null, 2)}\n`);
  progress(`logged in as operator (${path})`);
}

export async function readCredentials(path: string): Promise<z.infer<typeof Credentials> | null> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return Credentials.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
