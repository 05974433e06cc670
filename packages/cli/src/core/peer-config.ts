/** A person's machine in an environment's network, as wg-quick reads it. */

export interface PeerWay {
  readonly name: string;
  readonly publicKey: string;
  readonly endpoint: string;
  readonly slice: string;
  readonly resolver: string;
}

/** Leaves room for WireGuard's own bytes on any way, also through another tunnel. */
const MTU = 1380;
const KEEPALIVE_SECONDS = 25;

/** @param privateKey null: a line to be filled in by whoever has it */
export function peerConfig(address: string, privateKey: string | null, ways: readonly PeerWay[]): string {
  const resolvers = ways.slice(0, 3).map(({ resolver }) => resolver);
  const dns = resolvers.length === 0 ? [] : [`DNS = ${[...resolvers, "internal"].join(", ")}`];
  const own = [
    "[Interface]",
    privateKey === null
      ? "# PrivateKey = (the one of the public key that was given)"
      : `PrivateKey = ${privateKey}`,
    `Address = ${address}/32`,
    ...dns,
    `MTU = ${MTU}`,
  ];
  const peers = ways.map(({ name, publicKey, endpoint, slice }) =>
    [
      "",
      "[Peer]",
      `# ${name}`,
      `PublicKey = ${publicKey}`,
      `Endpoint = ${endpoint}`,
      `AllowedIPs = ${slice}`,
      `PersistentKeepalive = ${KEEPALIVE_SECONDS}`,
    ].join("\n"),
  );
  return [...own, ...peers].join("\n");
}
