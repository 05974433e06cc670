/** The road to HTTPS with an authority on it: the rig, whose router orders certificates from Pebble. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import type { TestAuthority } from "@berth/shared/testing/certificates.ts";
import { type HttpsRig, startHttpsRig } from "./https-rig.ts";
import { type Pebble, startPebble } from "./pebble.ts";

/** @param given.files a folder; its `root.crt` is what vouches for Pebble's own HTTPS */
export async function startPebbleRig(given: {
  readonly files: string;
  readonly authority: TestAuthority;
  readonly podEnv?: Readonly<Record<string, string>>;
  readonly app?: Server;
}): Promise<{ readonly rig: HttpsRig; readonly pebble: Pebble }> {
  const { files, authority, podEnv, app } = given;
  const account = join(files, "account.key");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(account, privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(join(files, "root.crt"), authority.root);
  let pebble: Pebble | undefined;
  const rig = await startHttpsRig(async (where) => {
    pebble = await startPebble({ dir: files, authority, ...where });
    return {
      ...{ BERTH_ROUTER_ACME_DIRECTORY: pebble.directory, BERTH_ROUTER_ACME_KEY_FILE: account },
      ...{ BERTH_ROUTER_ACME_CONTACT: "operator@example.com", NODE_EXTRA_CA_CERTS: join(files, "root.crt") },
      ...podEnv,
    };
  }, app);
  if (pebble === undefined) throw new Error("the rig started without its authority");
  return { rig, pebble };
}
