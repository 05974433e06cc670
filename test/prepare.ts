/** Installs what the real tests need: Debian's packages and nats-server. Quick when all is there. */
import { join } from "node:path";
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import { ensureNatsServer } from "@berth/infra/install/nats-server.ts";
import { stateDirOf } from "@berth/infra/pod/settings.ts";

const progress = (line: string): void => console.log(`   ${line}`);

await ensurePackages(
  [
    ...["ca-certificates", "git", "haproxy", "docker-registry", "docker.io", "busybox-static", "iptables", "nftables"],
    ...["iproute2", "mmdebstrap", "zstd", "xz-utils", "util-linux", "procps"],
  ],
  progress,
);
await ensureNatsServer(join(stateDirOf({}, process.env), "tools"), progress);
