import { expect, test } from "vitest";
import { CronJob, CronSchedule, ReleaseTasks } from "./tasks.ts";

test.each(["* * * * *", "15 3 * * 1-5", "*/5 0-6/2 1,15 jan-mar sun", "0 0 31 12 7", "@daily"])(
  "%s is a schedule",
  (text) => {
    expect(CronSchedule.safeParse(text).success).toBe(true);
  },
);

test.each([
  "",
  "* * * *",
  "60 * * * *",
  "* 24 * * *",
  "* * 0 * *",
  "5-1 * * * *",
  "*/0 * * * *",
  "a * * * *",
  "* * * * * *",
  "@reboot",
])("%j is none", (text) => {
  expect(CronSchedule.safeParse(text).success).toBe(false);
});

test("what is left out has its default; unknown zones and keys are refused", () => {
  expect(CronJob.parse({ schedule: "@hourly", command: "run" })).toEqual({
    ...{ schedule: "@hourly", command: "run", timezone: "UTC", overlap: "forbid", deadlineMs: 3_600_000 },
  });
  expect(CronJob.safeParse({ schedule: "@hourly", command: "run", timezone: "Mars/Base" }).success).toBe(
    false,
  );
  expect(ReleaseTasks.parse({})).toEqual({ releaseDeadlineMs: 600_000, cron: {} });
});
