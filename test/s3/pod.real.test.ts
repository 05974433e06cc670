/** A pod whose objects are in S3: refused while the bucket is not there, then a push is built through it. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { reset } from "@berth/infra/pod/down.ts";
import { readPodFile } from "@berth/infra/pod/settings.ts";
import { type RunningPod, up } from "@berth/infra/pod/up.ts";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Customer } from "../e2e/customer.ts";
import { type Swift, startSwift } from "./swift.ts";

const bucket = "berth-pod";
const postgresPort = 19_423;
const ports = {
  ...{ apiPort: 19_420, gitPort: 19_421, natsPort: 19_422, postgresPort },
  ...{ natsMonitorPort: 19_424, registryPort: 19_425 },
};
const stateDir = mkdtempSync("/var/lib/berth-test-s3-");
const lines: string[] = [];
const progress = (line: string): void => void lines.push(line);
let swift: Swift;

beforeAll(async () => {
  swift = await startSwift({ dir: join(stateDir, "swift") });
});

afterAll(async () => {
  await swift?.close();
  if ((await readPodFile(stateDir)) !== null) await reset({ stateDir, progress });
  rmSync(stateDir, { recursive: true, force: true });
}, 180_000);

const start = (secretKey = swift.secretKey): Promise<RunningPod> =>
  up({
    settings: {
      ...{ stateDir, ...ports, joinThisMachine: false, stackImage: false },
      objectStore: `s3://${bucket}?endpoint=${swift.endpoint}&region=${swift.region}`,
      // No host joins: a deploy ends soon after its build.
      tuning: { BERTH_UNPLACEABLE_AFTER_MS: "1000" },
    },
    environment: { AWS_ACCESS_KEY_ID: swift.accessKey, AWS_SECRET_ACCESS_KEY: secretKey },
    progress,
    writeCredentials: false,
  });

test("a missing bucket and a wrong key are told before anything is made", async () => {
  await expect(start()).rejects.toThrow(`Make it, for example with: aws s3 mb s3://${bucket}`);
  await swift.makeBucket(bucket);
  await expect(start("wrong")).rejects.toThrow("Look at AWS_ACCESS_KEY_ID");
  expect(readdirSync(stateDir).filter((name) => ["pki", "run", "pod.json"].includes(name))).toEqual([]);
});

test("a push is built from its bundle in S3", async () => {
  const pod = await start();
  expect(existsSync(join(stateDir, "objects"))).toBe(false);
  const given = { apiUrl: pod.apiUrl, token: pod.adminToken };
  const customer = await Customer.arrive(join(stateDir, "customers"), "main/s3", given);
  const app = await customer.app("hello", {
    Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/serve"]\n',
    serve: "x",
  });
  const pushed = await app.push();
  expect(pushed.deployId).not.toBeNull();
  const password = await readFile(join(stateDir, "pki/passwords/postgres"), "utf8");
  const address = { host: "127.0.0.1", port: postgresPort, user: "postgres", password, database: "berth" };
  const client = new pg.Client(address);
  await client.connect();
  try {
    const { rows } = await client.query<{ bundle_key: string; state: string }>(
      "SELECT bundle_key, state FROM builder.builds WHERE deploy_id = $1",
      [pushed.deployId],
    );
    expect(rows, pushed.output).toMatchObject([{ state: "succeeded" }]);
    expect(await swift.listNames(bucket)).toEqual([rows[0]?.bundle_key]);
  } finally {
    await client.end();
  }
}, 400_000);

test("a pod that knows its store comes up while the store is away, and says so", async () => {
  await swift.signal("proxy", "SIGKILL");
  lines.length = 0;
  await start();
  expect(lines.join("\n")).toMatch(/WARNING: .*bucket berth-pod: .*ECONNREFUSED/);
}, 180_000);
