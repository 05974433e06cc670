/**
 * The processes of a built app: the Procfile's, and where it has none the defaults. A command of berth.yaml wins.
 *
 * An image always has a `web` process; an app without one is refused here, before its image is stored.
 */
import { nearestName } from "@berth/shared/domain/app-config.ts";
import type { BuildFailure } from "./build-failure.ts";
import { parseProcfile } from "./parse-procfile.ts";

export type Processes =
  | { readonly kind: "processes"; readonly processes: Readonly<Record<string, string>> }
  | { readonly kind: "refused"; readonly failure: BuildFailure };

/**
 * @param procfile the file's text, null when there is none
 * @param defaults of the buildpack. A Procfile replaces them as a whole: a default behind its back would surprise.
 */
export function chooseBuildpackProcesses(
  procfile: string | null,
  defaults: Readonly<Record<string, string>>,
  commands: Readonly<Record<string, string>> = {},
): Processes {
  const parsed = readProcfile(procfile);
  if (parsed.kind === "refused") return parsed;
  const named = Object.keys(parsed.processes);
  const processes = { ...(named.length > 0 ? parsed.processes : defaults), ...commands };
  if (processes.web !== undefined) return { kind: "processes", processes };
  return { kind: "refused", failure: { code: "no-web", found: named, hasProcfile: procfile !== null } };
}

/**
 * A Dockerfile's image brings its own command for `web` (written as an empty command); a Procfile may name others
 * and may replace it.
 *
 * @param procfile the file's text, or its processes as another file names them
 * @param hasCommand whether the image has a CMD or an ENTRYPOINT
 */
export function chooseDockerfileProcesses(
  procfile: string | Readonly<Record<string, string>> | null,
  hasCommand: boolean,
  commands: Readonly<Record<string, string>> = {},
): Processes {
  const parsed: Processes =
    procfile !== null && typeof procfile === "object"
      ? { kind: "processes", processes: procfile }
      : readProcfile(procfile);
  if (parsed.kind === "refused") return parsed;
  const processes = { ...parsed.processes, ...commands };
  if (processes.web !== undefined) return { kind: "processes", processes };
  if (hasCommand) return { kind: "processes", processes: { web: "", ...processes } };
  const found = Object.keys(processes);
  return { kind: "refused", failure: { code: "no-web", found, hasProcfile: typeof procfile === "string" } };
}

/** Every process that a configuration sets something of must have a command somewhere. */
export function findUncommanded(
  file: string,
  configured: readonly string[],
  processes: Readonly<Record<string, string>>,
): BuildFailure | null {
  const known = Object.keys(processes);
  const problems = configured
    .filter((name) => !known.includes(name))
    .map((name) => {
      const nearest = nearestName(name, known);
      const hint = nearest === null ? `there are: ${known.join(", ")}` : `did you mean ${nearest}?`;
      return { line: 0, text: `the process ${name} has no command here nor in a Procfile; ${hint}` };
    });
  return problems.length === 0 ? null : { code: "bad-config", file, problems };
}

function readProcfile(procfile: string | null): Processes {
  if (procfile === null) return { kind: "processes", processes: {} };
  const parsed = parseProcfile(procfile);
  if (parsed.kind === "processes") return parsed;
  return { kind: "refused", failure: { code: "bad-procfile", problems: parsed.problems } };
}
