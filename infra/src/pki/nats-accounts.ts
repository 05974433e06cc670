/**
 * NATS identities in operator mode: one operator, the SYS account for the server's own events, one BERTH account
 * for everything of the pod, and one user per control-plane service.
 *
 * Seeds are made once. The JWTs are only signed statements about them and are written again when the permissions
 * that the contracts call for have changed.
 */
import { join } from "node:path";
import { CLAIMS_INBOX, CLAIMS_UPDATE } from "@berth/shared/kit/account-claims.ts";
import {
  decode,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
  type Operator,
  type User,
} from "@nats-io/jwt";
import { createAccount, createOperator, createUser, fromSeed, type KeyPair } from "@nats-io/nkeys";
import type { UserIds } from "../supervisor/user.ts";
import { readIfThere, readOrCreate, replaceFile } from "./key-file.ts";

export type NatsPermissions = { readonly publish: readonly string[]; readonly subscribe: readonly string[] };

export type NatsAccounts = {
  readonly operatorJwt: string;
  readonly systemAccount: string;
  readonly account: string;
  /** Account public key → JWT: what the server's resolver starts from. A newer one that it was sent wins. */
  readonly accountJwts: Readonly<Record<string, string>>;
  /** Signs the users of hosts; read by the api alone. */
  readonly accountSeedFile: string;
  /** What the api needs to revoke the users of hosts that were removed. */
  readonly revoking: RevokingFiles;
};

export type RevokingFiles = {
  /** A user of the SYS account that may send account JWTs and nothing else. */
  readonly credsFile: string;
  /** Signs account JWTs in the operator's name; the operator's own key stays with root. */
  readonly signingSeedFile: string;
  readonly accountJwtFile: string;
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
  const revoking = {
    credsFile: join(dir, "revoking.creds"),
    signingSeedFile: join(dir, "operator-signing.seed"),
    accountJwtFile: join(dir, "account.jwt"),
  };
  const signing = await ensureKey(revoking.signingSeedFile, createOperator);
  const once = (name: string, make: () => Promise<string>): Promise<string> =>
    readOrCreate(join(dir, name), make);
  const user = { accountSeedFile: join(dir, "sys.seed") };
  await ensureCreds(user, revoking.credsFile, "revoking", REVOKING);
  return {
    operatorJwt: await operatorJwt(join(dir, "operator.jwt"), operator, systemKey, signing.getPublicKey()),
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
    revoking,
  };
}

const REVOKING: NatsPermissions = { publish: [CLAIMS_UPDATE], subscribe: [`${CLAIMS_INBOX}.>`] };

/** Signed again when it does not name the signing key yet: its own key stays the same. */
async function operatorJwt(
  file: string,
  operator: KeyPair,
  system: string,
  signing: string,
): Promise<string> {
  const present = await readIfThere(file);
  if (present !== null && decode<Operator>(present).nats.signing_keys?.includes(signing)) return present;
  const jwt = await encodeOperator("berth", operator, { system_account: system, signing_keys: [signing] });
  await replaceFile(file, jwt);
  return jwt;
}

/** Writes `file` with a user that may do exactly `permissions`. @returns true when it was written. */
export async function ensureCreds(
  accounts: Pick<NatsAccounts, "accountSeedFile">,
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
