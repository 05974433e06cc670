/**
 * The activator of one host: holds the requests of services that sleep until an instance listens. Wiring only.
 *
 * It has no keys and no way to the bus or the engine: what it may connect to, its host's agent tells it.
 */
import { createServer } from "node:net";
import { join } from "node:path";
import { ACTIVATOR_SOCKET, DOORS_FOLDER } from "@berth/shared/contracts/activator.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { ActivatorConfig } from "./config.ts";
import { Doors } from "./inbound/doors.ts";
import { HeldRequests } from "./inbound/held-requests.ts";
import { AgentLink } from "./outbound/agent-link.ts";
import { listenAsBefore } from "./outbound/port-file.ts";

await runService("activator", ActivatorConfig, async ({ config, log, scope }) => {
  const held = new HeldRequests(config, log);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, held.accept);
  server.maxConnections = config.heldInAll * 2;
  const port = await listenAsBefore(server, join(config.stateDir, "port"));
  scope.use({ close: () => void server.close() });
  const socketPath = join(config.hostDir, ACTIVATOR_SOCKET);
  const dir = join(config.hostDir, DOORS_FOLDER);
  const doors = scope.use(new Doors({ dir, held, mostConnections: config.heldPerService * 2, log }));
  held.useAgent(
    scope.use(
      new AgentLink({
        ...{ socketPath, port, log, told: held.tell },
        doors: (environmentIds) => void doors.keep(environmentIds),
      }),
    ),
  );
  log.info("activator.listens", { port });
});
