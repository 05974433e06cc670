/** Imports every contract, so that `contractRegistry()` is whole. */
import "./build.ts";
import "./certificate.ts";
import "./deploy.ts";
import "./host.ts";
import "./job.ts";
import "./log.ts";
import "./network.ts";
import "./passage.ts";
import "./push.ts";
import "./rebalance.ts";
import "./release.ts";
import "./route.ts";
import "./secret.ts";
import "./sleep.ts";
import "./telemetry.ts";

export { contractRegistry } from "./event.ts";
