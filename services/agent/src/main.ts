/**
 * The agent of one host: wiring only. Start is recovery: ledger, containers, then the world.
 *
 * Nothing here waits for NATS: after a power cut the jobs of the ledger come back without the control plane.
 */
import { runService } from "@berth/shared/kit/service.ts";
import { AgentConfig } from "./config.ts";
import { openHostParts } from "./wiring/host-parts.ts";
import { recoverJobs } from "./wiring/recover-jobs.ts";
import { serveWorld } from "./wiring/serve-world.ts";

await runService("agent", AgentConfig, async (context) => {
  const parts = await openHostParts(context);
  const recovered = await recoverJobs(context, parts);
  serveWorld(context, parts, recovered);
});
