/** What the pushed repository says of how the app wants to run: its berth.yaml, or else its app.json. */
import type { AppWishes } from "@berth/shared/domain/app-config.ts";
import { readAppFile } from "@berth/shared/kit/app-file.ts";
import { readAppJson } from "@berth/shared/kit/app-json.ts";
import { type HerokuBuild, readHerokuYml } from "@berth/shared/kit/heroku-yml.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import { findUncommanded } from "../core/choose-processes.ts";
import type { Source } from "./source-archive.ts";

export interface SourceConfig {
  /** `berth.yaml` or `app.json`; null when the repository has neither. */
  readonly file: string | null;
  readonly wishes: AppWishes | null;
}

/** @throws BuildStopped `bad-config` */
export function readSourceConfig(
  source: Pick<Source, "berthYaml" | "appJson">,
  onStep: (text: string) => void,
): SourceConfig {
  if (source.berthYaml !== null) {
    if (source.appJson !== null) onStep("berth.yaml decides; app.json is not read beside it");
    return take("berth.yaml", readAppFile(source.berthYaml));
  }
  if (source.appJson === null) return { file: null, wishes: null };
  const read = readAppJson(source.appJson);
  for (const notice of read.notices) onStep(`app.json: ${notice}`);
  return take("app.json", read.result);
}

function take(file: string, read: ReturnType<typeof readAppFile>): SourceConfig {
  if (read.kind === "problems") throw new BuildStopped({ code: "bad-config", file, problems: read.problems });
  return { file, wishes: read.wishes };
}

/**
 * What the repository's heroku.yml says of the image. Its processes are the Procfile's then; berth.yaml's commands win.
 * @throws BuildStopped `bad-config`
 */
export function readHerokuBuild(
  { herokuYml, procfile }: Pick<Source, "herokuYml" | "procfile">,
  onStep: (text: string) => void,
): HerokuBuild | null {
  if (herokuYml === null) return null;
  const read = readHerokuYml(herokuYml);
  if (read.kind === "problems")
    throw new BuildStopped({ code: "bad-config", file: "heroku.yml", problems: read.problems });
  if (procfile !== null) onStep("heroku.yml decides; the Procfile is not read beside it");
  return read.build;
}

/** @throws BuildStopped `bad-config` for a process that nothing gives a command */
export function checkConfigured(config: SourceConfig, processes: Readonly<Record<string, string>>): void {
  if (config.file === null || config.wishes === null) return;
  const failure = findUncommanded(config.file, Object.keys(config.wishes.config.processes), processes);
  if (failure !== null) throw new BuildStopped(failure);
}
