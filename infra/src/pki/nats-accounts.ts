/**
 * NATS identities in operator mode: one operator, the SYS account for the server's own events, one BERTH account
 * for everything of the pod, and one user per control-plane service.
 *
 * Seeds are made once. The JWTs are only signed statements about them and are written again when the permissions
 * that the contracts call for have changed.
 */
import { join } from "node:path";
import { decode, encodeAccount, encodeOperator, encodeUser, fmtCreds, type User } from "@nats-io/jwt";
import { createAccount, createOperator, createUser, fromSeed, type KeyPair } from "@nats-io/nkeys";
import type { UserIds } from "../supervisor/user.ts";
import { readIfThere, readOrCreate, replaceFile } from "./key-file.ts";

export type NatsPermissions = { readonly publish: readonly string[]; readonly subscribe: readonly string[] };

export type NatsAccounts = {
  readonly operatorJwt: string;
  readonly systemAccount: string;
  readonly account: string;
  /** Account public key → JWT: what the server's memory resolver is given. */
  readonly accountJwts: Readonly<Record<string, string>>;
  /** Signs the users of hosts; read by the api alone. */
  readonly accountSeedFile: string;
};

const unlimited = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
};
const jetStream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

export async function ensureNatsAccounts(dir: string): Promise<NatsAccounts> {
  const operator = await ensureKey(join(dir, "operator.seed"), createOperator);
  const system = await ensureKey(join(dir, "sys.seed"), createAccount);
  const accountSeedFile = join(dir, "account.seed");
  const account = await ensureKey(accountSeedFile, createAccount);
  const [systemKey, accountKey] = [system.getPublicKey(), account.getPublicKey()];
  const once = (name: string, make: () => Promise<string>): Promise<string> =>
    readOrCreate(join(dir, name), make);
  return {
    operatorJwt: await once("operator.jwt", () =>
      encodeOperator("berth", operator, { system_account: systemKey }),
    ),
    systemAccount: systemKey,
    account: accountKey,
    accountJwts: {
      [systemKey]: await once("sys.jwt", () =>
        encodeAccount("SYS", system, { limits: unlimited }, { signer: operator }),
      ),
      [accountKey]: await once("account.jwt", () =>
        encodeAccount("BERTH", account, { limits: { ...unlimited, ...jetStream } }, { signer: operator }),
      ),
    },
    accountSeedFile,
  };
}

/** Writes `file` with a user that may do exactly `permissions`. @returns true when it was written. */
export async function ensureCreds(
  accounts: NatsAccounts,
  file: string,
  name: string,
  permissions: NatsPermissions,
  owner?: UserIds,
): Promise<boolean> {
  const user = await ensureKey(file.replace(/\.creds$/, ".seed"), createUser);
  const present = await readIfThere(file);
  if (present !== null && grants(present, permissions)) return false;
  const account = fromSeed(Buffer.from((await readIfThere(accounts.accountSeedFile)) ?? ""));
  const limits = {
    pub: { allow: [...permissions.publish] },
    sub: { allow: [...permissions.subscribe] },
    subs: -1,
    data: -1,
    payload: -1,
  };
  const jwt = await encodeUser(name, user, account, limits);
  await replaceFile(file, Buffer.from(fmtCreds(jwt, user)).toString("utf8"), owner);
  return true;
}

function grants(creds: string, permissions: NatsPermissions): boolean {
  const jwt = /BEGIN NATS USER JWT-----\s*(\S+)/.exec(creds)?.[1];
  if (jwt === undefined) return false;
  const { nats } = decode<User>(jwt);
  const same = (a: readonly string[] | undefined, b: readonly string[]): boolean =>
    JSON.stringify([...(a ?? [])].sort()) === JSON.stringify([...b].sort());
  return same(nats.pub?.allow, permissions.publish) && same(nats.sub?.allow, permissions.subscribe);
}

async function ensureKey(file: string, create: () => KeyPair): Promise<KeyPair> {
  const seed = await readOrCreate(file, () => Buffer.from(create().getSeed()).toString("utf8"));
  return fromSeed(Buffer.from(seed.trim()));
}
