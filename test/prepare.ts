/**
 * Installs what tests need: Debian's packages and nats-server. Quick when all is there.
 *
 *   node test/prepare.ts       for the real tests
 *   node test/prepare.ts git   git alone, where it is missing: the house rules look at tracked files
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import { ensureNatsServer } from "@berth/infra/install/nats-server.ts";
import { stateDirOf } from "@berth/infra/pod/settings.ts";

const progress = (line: string): void => console.log(`   ${line}`);

if (process.argv[2] === "git") {
  if (spawnSync("git", ["--version"]).error !== undefined) await ensurePackages(["git"], progress);
} else {
  await ensurePackages(
    [
      ...["ca-certificates", "curl", "git", "haproxy", "docker-registry", "docker.io", "busybox-static"],
      ...["iptables", "nftables", "iproute2", "mmdebstrap", "zstd", "xz-utils", "util-linux", "procps"],
      ...["dnsmasq-base", "wireguard-tools", "pebble"],
    ],
    progress,
  );
  await ensureNatsServer(join(stateDirOf({}, process.env), "tools"), progress);
}
