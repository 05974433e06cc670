/**
 * The road from end to end, on a pod of three hosts, with the `berth` command and the real git client. One lab for
 * all; the suites come in the order in which they disturb it. Needs root.
 */
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, vi } from "vitest";
import { describeChanges } from "./changes.ts";
import { Customer } from "./customer.ts";
import { describeDeploys } from "./deploys.ts";
import { type E2eLab, startE2eLab } from "./e2e-lab.ts";
import { describeHosts } from "./hosts.ts";
import { describeRoad } from "./road.ts";
import { describeSecrets } from "./secrets.ts";
import { describeWrongInput } from "./wrong-input.ts";

const homes = "/tmp/berth-e2e-home";
vi.setConfig({ testTimeout: 180_000, hookTimeout: 300_000 });

let lab: E2eLab;
let customer: Customer;

beforeAll(async () => {
  lab = await startE2eLab();
  customer = await Customer.arrive(homes, "acme/prod", { apiUrl: lab.pod.apiUrl, token: lab.pod.adminToken });
}, 600_000);

afterAll(async () => {
  await lab?.close();
  await rm(homes, { recursive: true, force: true });
}, 180_000);

const given = { lab: () => lab, customer: () => customer };
describeRoad(given);
describeWrongInput(given);
describeChanges(given);
describeDeploys(given);
describeSecrets(given);
describeHosts(given);
