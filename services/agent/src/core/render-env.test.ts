import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { unitSpec } from "../testing/specs.ts";
import { containerBody } from "./container-profile.ts";
import { ENTRYPOINT, ENV_PATH, launchCommand, ROUTES_PATH } from "./launch-command.ts";
import { renderEnv } from "./render-env.ts";

/** Runs the real shim in a real shell, with the env file where it lies here, and returns the app's environment. */
function environmentOf(variables: Record<string, string>): Map<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "berth-env-"));
  try {
    const file = renderEnv(unitSpec(), variables);
    if (file.kind === "refused") throw new Error(file.reason);
    writeFileSync(join(folder, "env"), file.text);
    const routes = "Iface\tDestination\tGateway\neth0\t00000000\t0101800A\t0003\n";
    writeFileSync(join(folder, "route"), routes);
    const script = (ENTRYPOINT[3] ?? "")
      .replace(ENV_PATH, join(folder, "env"))
      .replace(ROUTES_PATH, join(folder, "route"));
    const print = "process.stdout.write(JSON.stringify(process.env))";
    const out = execFileSync("/bin/sh", ["-c", script, "berth", process.execPath, "-e", print], {
      env: { PATH: "/usr/bin:/bin", TINI_KILL_PROCESS_GROUP: "1" },
      encoding: "utf8",
    });
    return new Map(Object.entries(JSON.parse(out) as Record<string, string>));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.each([
  ["a quote", "it's"],
  ["commands", "$(touch /tmp/x) `id` $PATH $((1+1)); rm -rf / #"],
  ["newlines and tabs", "a\n\tb\n\nexport X=1\n"],
  ["a closing quote and a command", "'; exit 9; '"],
  ["backslashes", "\\n \\' \\\\"],
  ["nothing", ""],
  ["unicode", "héllo 🚢 \u202e"],
  ["only quotes", "''''"],
])("a value with %s arrives as it is and runs nothing", (_name, value) => {
  expect(environmentOf({ VALUE: value }).get("VALUE")).toBe(value);
});

test("any values arrive as they are", () => {
  const value = fc.string({
    unit: fc.constantFrom("'", '"', "\\", "$", "`", "\n", "a", " ", "(", ")", "!", "é"),
  });
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("A", "B_1", "_c"), value), (variables) => {
      const seen = environmentOf(variables);
      for (const [name, expected] of Object.entries(variables)) expect(seen.get(name)).toBe(expected);
    }),
    { numRuns: 25 },
  );
});

test("the platform's variables win, and the init's own setting is gone", () => {
  const seen = environmentOf({ PORT: "1", BERTH_RELEASE: "v999", IFS: "x" });
  expect(seen.get("PORT")).toBe("8080");
  expect(seen.get("BERTH_RELEASE")).toBe("v3");
  expect(seen.get("IFS")).toBe("x");
  expect(seen.has("TINI_KILL_PROCESS_GROUP")).toBe(false);
});

test.each([
  [{ "A;id": "1" }, "name"],
  [{ A: "a\0b" }, "NUL"],
  [{ A: "x".repeat(130_000) }, "longer"],
])("what no environment can hold is refused with the reason: %#", (variables, word) => {
  expect(renderEnv(unitSpec(), variables)).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining(word),
  });
});

const image = { entrypoint: ["/docker-entrypoint.sh"], cmd: ["nginx"], hasLauncher: false };
test.each([
  ["the image's own command", "", image, ["/docker-entrypoint.sh", "nginx"]],
  ["a Procfile line in a plain image", "node a.js && x", image, ["/bin/sh", "-c", "node a.js && x"]],
  [
    "a Procfile line in a stack image",
    "node a.js",
    { ...image, hasLauncher: true },
    ["/berth/launch", "node a.js"],
  ],
  ["no command at all", "", { entrypoint: [], cmd: [], hasLauncher: false }, null],
])("%s", (_name, command, given, argv) => {
  expect(launchCommand(command, given)).toEqual(argv);
});

test("nothing that a tenant can name reaches a privilege", () => {
  const spec = unitSpec({
    command: "--privileged",
    serviceName: "x",
    profile: { port: 80, rootFilesystem: "writable", runsAsRoot: true },
  });
  const body = containerBody(spec, {
    podId: "p",
    attempt: 1,
    imageReference: "r/i@sha256:1",
    argv: ["x"],
    address: "10.128.0.7",
    networkName: "berth-env",
    resolver: "10.128.0.1",
    etcFolder: "/e/job",
    secretsFolder: "/s/job",
    busyboxFolder: "/b",
    seccomp: "{}",
    cgroupParent: null,
  });
  expect(body.HostConfig).toMatchObject({
    CapDrop: ["ALL"],
    Privileged: false,
    Devices: [],
    NetworkMode: "none",
    ReadonlyRootfs: false,
  });
  expect(body.HostConfig.CapAdd).not.toContain("NET_RAW");
  expect(
    body.HostConfig.Mounts.every(
      ({ ReadOnly, Source }) =>
        ReadOnly && (["/s/job", "/b"].includes(Source) || Source.startsWith("/e/job/")),
    ),
  ).toBe(true);
  expect(body.HostConfig.Memory).toBe(body.HostConfig.MemorySwap);
});

test("the service's variables win over the repository's, and the platform's over both", () => {
  const spec = { ...unitSpec(), env: { A: "repository", B: "repository", PORT: "1" } };
  const file = renderEnv(spec, { A: "service" });
  expect(file.kind === "rendered" && file.text).toContain(
    "export A='service'\nexport B='repository'\nexport PORT='",
  );
  expect(file.kind === "rendered" && file.text).not.toContain("PORT='1'");
});
