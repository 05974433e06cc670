/** What the proxy's configuration is made from, out of what the agent gives. */
import { dirname, join } from "node:path";
import type { EdgeSettings } from "./core/render-config.ts";
import type { EdgeGiven } from "./edge-types.ts";
import type { EdgePaths } from "./shell/edge-files.ts";

export function edgeSettings(given: EdgeGiven, paths: EdgePaths): EdgeSettings {
  const asRoot = process.getuid?.() === 0;
  return {
    bindAddress: given.bindAddress ?? "*",
    port: given.port,
    healthPort: given.healthPort ?? null,
    socketPath: given.socketPath,
    pidFile: join(dirname(given.socketPath), "haproxy.pid"),
    tlsPort: given.tls?.port ?? null,
    tlsListenPort: given.tls?.listenPort ?? given.tls?.port ?? null,
    tlsDir: given.tls?.dir ?? null,
    mapFile: paths.map,
    namesFile: given.onlyFrom === undefined && given.tls !== undefined ? paths.names : null,
    onlyFrom: given.onlyFrom ?? null,
    size: given.size ?? { threadsCount: null, filesCount: 65_536 },
    hostId: given.hostId ?? null,
    activatorSocket: given.activatorSocket ?? null,
    optionsFile: paths.options,
    sourcesFile: paths.sources,
    trustedProxies: given.trustedProxies ?? [],
    runAs: given.runAs !== undefined ? given.runAs : asRoot ? { user: "haproxy", group: "haproxy" } : null,
    accessLog: given.accessLog ?? true,
  };
}
