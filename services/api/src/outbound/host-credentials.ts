/**
 * Signs the bus users of a host: its agent and its logshipper hold their own NKeys, and the signed permissions
 * confine both to subjects that carry the host's id.
 */
import { readFileSync } from "node:fs";
import { permissionsFor } from "@berth/shared/contracts/permissions.ts";
import { encodeUser } from "@nats-io/jwt";
import { fromSeed } from "@nats-io/nkeys";

export interface HostSigner {
  /** Stable name of the pod, derived from the bus account that signs its hosts. */
  readonly podId: string;
  sign(service: "agent" | "logshipper", hostId: string, publicKey: string): Promise<string>;
}

/** Reads the account's seed once. @throws Error when the file is missing or is not a seed */
export function loadHostSigner(seedFile: string): HostSigner {
  const account = fromSeed(new TextEncoder().encode(readFileSync(seedFile, "utf8").trim()));
  return {
    podId: `pod-${account.getPublicKey().slice(1, 17).toLowerCase()}`,
    sign: (service, hostId, publicKey) => {
      const allowed = permissionsFor(service, hostId);
      return encodeUser(`${service}@${hostId}`, publicKey, account, {
        pub: { allow: allowed.publish, deny: [] },
        sub: { allow: allowed.subscribe, deny: [] },
      });
    },
  };
}
