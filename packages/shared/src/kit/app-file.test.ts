import { expect, test } from "vitest";
import { readAppFile } from "./app-file.ts";

const told = (text: string) => {
  const read = readAppFile(text);
  return read.kind === "read"
    ? []
    : read.problems.map(({ line, column, text }) => `${line}:${column} ${text}`);
};

test("every key becomes what the platform works with", () => {
  const text = `processes:
  web:
    command: node server.js
    scale: 2
    memory: 512MB
    disk: 1GB
    cpu: 0.5
    health: /up
    start-deadline: 2m
    stop-grace: 30s
    min-ready: 5s
    canary: 1
    batch: 2
    autoscale: {min: 2, max: 6, requests: 20, cpu: 70, cooldown: 2m}
  worker: {autoscale: {max: off}}
  release: {deadline: 90s}
cron:
  tidy: {schedule: "@daily", command: rm -rf tmp}
  report: {schedule: 15 3 * * 1-5, command: node r.js, timezone: Europe/Berlin, overlap: allow, deadline: 2h}
placement:
  apart: true
  labels: {disk: ssd}
deploy: {progress-deadline: 10m}
sleep: {after: 1h, level: frozen}
env:
  GREETING: hello
  RETRIES: 3
`;
  expect(readAppFile(text)).toEqual({
    kind: "read",
    wishes: {
      commands: { web: "node server.js" },
      config: {
        processes: {
          web: {
            ...{ scale: 2, memoryBytes: 512 * 1024 ** 2, cpuMillis: 500, healthPath: "/up" },
            diskBytes: 1024 ** 3,
            ...{ startDeadlineMs: 120_000, stopGraceMs: 30_000 },
            ...{ minReadyMs: 5000, canary: 1, batch: 2 },
            autoscale: { min: 2, max: 6, requests: 20, cpu: 70, cooldownMs: 120_000 },
          },
          worker: { autoscale: null },
          release: {},
        },
        tasks: {
          releaseDeadlineMs: 90_000,
          cron: {
            tidy: {
              ...{ schedule: "@daily", command: "rm -rf tmp", timezone: "UTC", overlap: "forbid" },
              deadlineMs: 3_600_000,
            },
            report: {
              ...{ schedule: "15 3 * * 1-5", command: "node r.js", timezone: "Europe/Berlin" },
              ...{ overlap: "allow", deadlineMs: 7_200_000 },
            },
          },
        },
        placement: { apart: true, labels: { disk: "ssd" } },
        deploy: { progressDeadlineMs: 600_000 },
        sleep: { afterMs: 3_600_000, level: "frozen" },
        env: { GREETING: "hello", RETRIES: "3" },
      },
    },
  });
});

test.each([
  ["an empty file is fine", "", []],
  [
    "release is no process that goes on, others do not end",
    "processes:\n  release: {scale: 1}\n  web: {deadline: 1m}\n",
    [
      "2:3 processes: release runs once before a deploy: it has no scale, autoscale, start-deadline, stop-grace, min-ready, canary or batch",
      "2:3 processes: only release has a deadline: other processes do not end",
    ],
  ],
  [
    "a cron's wrong schedule and key",
    "cron:\n  a: {schedule: 61 * * * *, command: x, when: now}\n",
    [
      expect.stringContaining("2:17 cron.a.schedule: must be five fields"),
      '2:41 unknown key "when" in cron.a; known are: schedule, command, timezone, overlap, deadline',
    ],
  ],
  ["only comments", "# nothing\n", []],
  ["an unknown key", "proceses:\n  web: {}\n", ['1:1 unknown key "proceses"; did you mean processes?']],
  [
    "an unknown key deeper, and a second problem",
    "processes:\n  web:\n    memroy: 1GB\n    scale: two\n",
    [
      '3:5 unknown key "memroy" in processes.web; did you mean memory?',
      "4:12 processes.web.scale: must be a whole number",
    ],
  ],
  [
    "nothing like it",
    "processes:\n  web:\n    zzzzzz: 1\n",
    [expect.stringContaining("known are: command, scale")],
  ],
  [
    "how it sleeps and deploys",
    "sleep: {after: 5s, level: deep, aftr: 1h}\ndeploy:\n  progres-deadline: 1m\nprocesses:\n  web: {batch: 0, min-ready: 10}\n",
    [
      "1:16 sleep.after: must be 10s to 168h",
      "1:27 sleep.level: must be frozen, stopped, away",
      '1:33 unknown key "aftr" in sleep; did you mean after?',
      '3:3 unknown key "progres-deadline" in deploy; did you mean progress-deadline?',
      "5:16 processes.web.batch: must be a whole number from 1 to 500",
      "5:30 processes.web.min-ready: 10 needs a number with a unit, for example 10s",
    ],
  ],
  [
    "how it scales",
    "processes:\n  web:\n    autoscale: {min: 3, max: 2, cpus: 70}\n  worker:\n    autoscale: {max: 2, requests: 5, cpu: 150}\n  clock:\n    autoscale: {max: 2}\n",
    [
      "2:3 processes: only web is scaled by requests: other processes get none",
      "3:16 processes.web.autoscale: min must not be more than max",
      "3:16 processes.web.autoscale: needs requests or cpu: by what it is to scale",
      '3:33 unknown key "cpus" in processes.web.autoscale; did you mean cpu?',
      "5:43 processes.worker.autoscale.cpu: must be a whole number of per cent up to 100, for example 70",
      "7:16 processes.clock.autoscale: needs requests or cpu: by what it is to scale",
    ],
  ],
  ["never by itself", "sleep:\n  after: off\n", []],
  [
    "no unit",
    "processes:\n  web:\n    memory: 512\n",
    ["3:13 processes.web.memory: 512 needs a number with a unit, for example 512MB"],
  ],
  [
    "a wrong unit",
    "processes:\n  web:\n    stop-grace: 30 secs\n",
    [expect.stringContaining("for example 30s")],
  ],
  [
    "out of range",
    "processes:\n  web:\n    memory: 1KB\n",
    ["3:13 processes.web.memory: must be 16MB to 1024GB"],
  ],
  [
    "a name",
    "processes:\n  Web: {}\n",
    [expect.stringMatching(/^2:3 processes\.Web: a process name must be/)],
  ],
  [
    "the platform's variable",
    "env:\n  PORT: 80\n",
    [expect.stringMatching(/^2:3 env\.PORT: .*set by the platform/)],
  ],
  [
    "health of a worker",
    "processes:\n  worker:\n    health: /x\n",
    [expect.stringContaining("only web has a health path")],
  ],
  [
    "a list instead of a map",
    "processes:\n- web\n",
    [expect.stringMatching(/^2:1 processes: expected record/)],
  ],
  ["an alias", "env: &a\n  A: b\nplacement: *a\n", ["3:12 aliases (*name) are not used here; write it out"]],
  ["the same key twice", "env:\n  A: 1\n  A: 2\n", [expect.stringMatching(/^3:3 Map keys must be unique/)]],
  ["a tag", "env:\n  A: !!js/function 'x'\n", [expect.stringMatching(/^2:6 Unresolved tag/)]],
  ["broken", "processes: [\n", [expect.stringMatching(/^\d+:\d+ /)]],
  ["two documents", "env: {}\n---\nenv: {}\n", [expect.stringMatching(/multiple documents/)]],
  ["too large", `# ${"x".repeat(70_000)}`, ["1:1 the file is larger than 64 KiB"]],
] as [string, string, unknown[]][])("%s", (_what, text, expected) => {
  expect(told(text)).toEqual(expected);
});
