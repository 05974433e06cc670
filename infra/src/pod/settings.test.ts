import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPodFile, resolveSettings, settingsFromEnvironment, writePodFile } from "./settings.ts";

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "berth-settings-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

test("command line wins over environment, environment over what was stored, that over defaults", async () => {
  await writePodFile(await resolveSettings({ stateDir, apiPort: 1000, gitPort: 1001, natsPort: 1002 }, {}), {
    versions: {},
  });
  const settings = await resolveSettings(
    { stateDir, apiPort: 3000 },
    { BERTH_API_PORT: "2000", BERTH_GIT_PORT: "2001" },
  );
  expect(settings).toMatchObject({ apiPort: 3000, gitPort: 2001, natsPort: 1002, registryPort: 7425 });
});

test("limits of services are kept, addresses and tokens of the CLI are not, what is for one run is not", async () => {
  const environment = {
    BERTH_GIT_PACK_BYTES: "5",
    BERTH_DRAIN_MS: "7",
    BERTH_API_URL: "http://x",
    BERTH_API_TOKEN: "t",
    BERTH_CRASH_AT: "y",
  };
  expect(settingsFromEnvironment(environment)).toEqual({
    tuning: { BERTH_GIT_PACK_BYTES: "5", BERTH_DRAIN_MS: "7" },
  });
  const once = { stateDir, serviceEnv: { api: { BERTH_CRASH_AT: "z" } } };
  await writePodFile(await resolveSettings(once, environment), { versions: {} });
  expect((await readPodFile(stateDir))?.settings).not.toHaveProperty("serviceEnv");
  expect((await resolveSettings({ stateDir }, {})).tuning).toEqual({
    BERTH_GIT_PACK_BYTES: "5",
    BERTH_DRAIN_MS: "7",
  });
});

test("a wrong setting is named", async () => {
  await expect(resolveSettings({ stateDir }, { BERTH_API_PORT: "99999" })).rejects.toThrow("apiPort");
});
