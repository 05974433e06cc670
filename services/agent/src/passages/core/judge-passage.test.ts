/** Who may be connected to, and how long. */
import { expect, test } from "vitest";
import { addressFor, type Reachable, stillThere } from "./judge-passage.ts";

const job: Reachable = {
  spec: { jobId: "job_1", environmentId: "env_1" },
  ...{ state: "running", ready: true, address: "10.128.0.2" },
};
const asked = { environmentId: "env_1", jobId: "job_1", port: 8080 };

test("a ready instance of the environment is reached at the host's own word for its address", () => {
  expect(addressFor(asked, [job])).toEqual({ address: "10.128.0.2" });
});

test.each([
  ["of another environment", { ...job, spec: { ...job.spec, environmentId: "env_2" } }],
  ["that is not here", { ...job, spec: { ...job.spec, jobId: "job_2" } }],
  ["that is not ready", { ...job, ready: false }],
  ["that stops", { ...job, state: "stopping" as const }],
  ["without an address", { ...job, address: null }],
])("an instance %s is refused", (_what, other) => {
  expect(addressFor(asked, [other])).toHaveProperty("reason");
});

test("a passage stays while its instance stops in peace, and ends with it or with its address", () => {
  expect(stillThere("job_1", "10.128.0.2", [{ ...job, state: "stopping", ready: false }])).toBe(true);
  expect(stillThere("job_1", "10.128.0.2", [{ ...job, address: "10.128.0.3" }])).toBe(false);
  expect(stillThere("job_1", "10.128.0.2", [{ ...job, state: "finished" }])).toBe(false);
  expect(stillThere("job_1", "10.128.0.2", [])).toBe(false);
});
