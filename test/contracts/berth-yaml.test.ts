/** docs/BERTH-YAML.md and the schema of berth.yaml have the same keys, and the document's example is right. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  AppAutoscale,
  AppCron,
  AppDeploy,
  AppFile,
  AppPlacement,
  AppProcess,
  AppSleep,
} from "@berth/shared/domain/app-config.ts";
import { AppCors, AppHttp, AppRedirect } from "@berth/shared/domain/app-http.ts";
import { readAppFile } from "@berth/shared/kit/app-file.ts";
import { expect, test } from "vitest";

const parts = { placement: AppPlacement, deploy: AppDeploy, sleep: AppSleep, http: AppHttp } as const;
const inner = { "http.cors": AppCors, "http.redirects": AppRedirect } as const;
const text = readFileSync(join(import.meta.dirname, "../../docs/BERTH-YAML.md"), "utf8");

test("every key is documented, and every documented key exists", () => {
  const documented = [...text.matchAll(/^\| `([a-zA-Z.-]+)` \|/gm)].map((match) => match[1]);
  const keys = Object.keys(AppFile.shape).flatMap((key) => {
    if (key === "processes")
      return Object.keys(AppProcess.shape).flatMap((one) =>
        (one === "autoscale" ? Object.keys(AppAutoscale.shape).map((part) => `${one}.${part}`) : [one]).map(
          (name) => `processes.NAME.${name}`,
        ),
      );
    if (key === "cron") return Object.keys(AppCron.shape).map((one) => `cron.NAME.${one}`);
    const part = parts[key as keyof typeof parts];
    if (part === undefined) return [key];
    return Object.keys(part.shape).flatMap((one) => {
      const name = `${key}.${one}`;
      const shape = inner[name as keyof typeof inner]?.shape;
      return shape === undefined ? [name] : Object.keys(shape).map((each) => `${name}.${each}`);
    });
  });
  expect(documented.toSorted()).toEqual(keys.toSorted());
});

test("the example uses every key and is right", () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
  const read = readAppFile(example);
  expect(read).toMatchObject({ kind: "read", wishes: { config: { env: { LOG_LEVEL: "info" } } } });
  const names = [
    ...Object.keys(AppFile.shape),
    ...Object.keys(AppProcess.shape),
    ...Object.keys(AppAutoscale.shape),
    ...Object.keys(AppCron.shape),
    ...[...Object.values(parts), ...Object.values(inner)].flatMap(({ shape }) => Object.keys(shape)),
  ];
  for (const name of names) expect(example).toContain(`${name}:`);
});
