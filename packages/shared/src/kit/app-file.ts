/**
 * Reads `berth.yaml`: every problem with its line and column, unknown keys with the nearest known one. The builder and
 * `berth config check` use this same code, so what is fine here is fine in a push.
 */
import {
  AppAutoscale,
  AppCron,
  AppDeploy,
  AppFile,
  AppPlacement,
  AppProcess,
  AppSleep,
  type AppWishes,
  toWishes,
} from "../domain/app-config.ts";
import { AppCors, AppHttp, AppRedirect } from "../domain/app-http.ts";
import { readYamlFile, type YamlProblem } from "./yaml-file.ts";

export type ReadAppFile =
  | { readonly kind: "read"; readonly wishes: AppWishes }
  | { readonly kind: "problems"; readonly problems: readonly YamlProblem[] };

export function readAppFile(text: string): ReadAppFile {
  const read = readYamlFile(text, AppFile, knownKeys);
  return read.kind === "read" ? { kind: "read", wishes: toWishes(read.value) } : read;
}

function knownKeys(path: readonly (string | number)[]): string[] {
  if (path.length === 0) return Object.keys(AppFile.shape);
  if (path[0] === "processes" && path[2] === "autoscale") return Object.keys(AppAutoscale.shape);
  if (path[0] === "processes") return Object.keys(AppProcess.shape);
  if (path[0] === "http" && path[1] === "cors") return Object.keys(AppCors.shape);
  if (path[0] === "http" && path[1] === "redirects") return Object.keys(AppRedirect.shape);
  if (path[0] === "cron") return Object.keys(AppCron.shape);
  const parts = { placement: AppPlacement, deploy: AppDeploy, sleep: AppSleep, http: AppHttp };
  const part = parts[path[0] as keyof typeof parts];
  return part === undefined ? [] : Object.keys(part.shape);
}
