/**
 * Why a build failed, as data, and what the pusher reads.
 *
 * Every message says what happened, why (with the limit's name and value where one was met) and what to do next.
 * The old release keeps serving in all of these cases, and the message ends by saying so.
 */
export type BuildFailure =
  | { readonly code: "no-buildpack"; readonly files: readonly string[] }
  | { readonly code: "unsafe-source"; readonly detail: string }
  | { readonly code: "source-too-large"; readonly limit: string }
  | { readonly code: "bad-procfile"; readonly problems: readonly Located[] }
  | { readonly code: "bad-config"; readonly file: string; readonly problems: readonly Located[] }
  | { readonly code: "no-web"; readonly found: readonly string[]; readonly hasProcfile: boolean }
  | { readonly code: "bad-dockerfile"; readonly problems: readonly Located[] }
  | { readonly code: "bad-buildpack"; readonly detail: string }
  | { readonly code: "build-exit"; readonly step: string; readonly exitCode: number }
  | { readonly code: "out-of-memory"; readonly memoryBytes: number }
  | { readonly code: "timeout"; readonly timeoutMs: number }
  | { readonly code: "too-much-output"; readonly limitBytes: number }
  | { readonly code: "image-too-large"; readonly limitBytes: number }
  | { readonly code: "image-refused"; readonly detail: string }
  | { readonly code: "image-not-fetched"; readonly detail: string }
  | { readonly code: "push-failed"; readonly detail: string }
  | { readonly code: "cancelled" }
  | { readonly code: "superseded"; readonly by: string }
  | { readonly code: "abandoned"; readonly attempts: number }
  | { readonly code: "source-unavailable"; readonly detail: string }
  | { readonly code: "platform"; readonly detail: string };

/** The code of the platform's error catalogue (`contracts/errors.ts`) under which a failure is reported. */
export function catalogueCode(failure: BuildFailure): string {
  switch (failure.code) {
    case "no-buildpack":
      return "no-buildpack";
    case "unsafe-source":
      return "push-path-length";
    case "source-too-large":
      return "push-blob-size";
    case "bad-procfile":
      return "procfile-invalid";
    case "bad-config":
      return "config-invalid";
    case "no-web":
      return "no-web-process";
    case "bad-dockerfile":
      return "dockerfile-invalid";
    case "bad-buildpack":
      return "buildpack-unavailable";
    case "build-exit":
      return "build-command-failed";
    case "out-of-memory":
      return "build-out-of-memory";
    case "timeout":
      return "build-timeout";
    case "too-much-output":
      return "build-output-limit";
    case "image-too-large":
      return "limit-reached";
    case "image-refused":
      return "image-invalid";
    case "image-not-fetched":
      return failure.code;
    case "push-failed":
      return "image-push-failed";
    case "cancelled":
    case "superseded":
      return failure.code;
    case "abandoned":
      return "build-abandoned";
    case "source-unavailable":
      return "source-unavailable";
    case "platform":
      return "internal";
  }
}

export interface Located {
  /** 1-based; 0 when the problem is about the file as a whole. */
  readonly line: number;
  readonly column?: number;
  readonly text: string;
}

/** One message, several lines, no trailing line break. */
export function describeFailure(failure: BuildFailure): string {
  return `${whatAndNext(failure)}\n${stillServing(failure)}`;
}

function stillServing(failure: BuildFailure): string {
  return failure.code === "superseded"
    ? "Nothing was deployed from this build."
    : "Nothing was deployed: the previous release, if there is one, keeps serving.";
}

function whatAndNext(failure: BuildFailure): string {
  switch (failure.code) {
    case "no-buildpack":
      return (
        `Berth cannot tell how to build this: no Dockerfile, and no buildpack matches. At the top it found ${list(failure.files)}.\n` +
        "Add one of: Dockerfile; package.json (Node); requirements.txt, pyproject.toml or Pipfile (Python); " +
        "index.html or static.json (static files); or a .buildpacks file with the https git URL of a buildpack."
      );
    case "unsafe-source":
      return `The pushed source cannot be unpacked safely: ${failure.detail}.\nRemove or rename that entry, commit and push again.`;
    case "source-too-large":
      return `The pushed source is too large: more than ${failure.limit}.\nKeep large files out of the repository and push again.`;
    case "bad-procfile":
      return `The Procfile cannot be read:\n${located("Procfile", failure.problems)}\nEach line is \`name: command\`. Correct it and push again.`;
    case "bad-config":
      return `${failure.file} cannot be used:\n${located(failure.file, failure.problems)}\nCorrect it and push again; \`berth config check\` says the same without a push.`;
    case "no-web":
      return noWeb(failure.found, failure.hasProcfile);
    case "bad-dockerfile":
      return `The Dockerfile cannot be built here:\n${located("Dockerfile", failure.problems)}\nCorrect these lines and push again.`;
    case "bad-buildpack":
      return `The custom buildpack cannot be used: ${failure.detail}.\nA buildpack is an https git URL, with an optional #branch-or-tag.`;
    case "build-exit":
      return `The build failed: ${failure.step} ended with exit code ${String(failure.exitCode)}.\nThe reason is in the lines above. Correct it, commit and push again.`;
    case "out-of-memory":
      return `The build was stopped: it used all of its memory (limit ${size(failure.memoryBytes)}).\nBuild with less parallelism, or ask the operator to raise BERTH_BUILD_MEMORY_BYTES.`;
    case "timeout":
      return `The build was stopped: it took longer than the limit of ${duration(failure.timeoutMs)}.\nMake it faster, or ask the operator to raise BERTH_BUILD_TIMEOUT_MS.`;
    case "too-much-output":
      return `The build was stopped: it printed more than the limit of ${size(failure.limitBytes)}.\nMake it print less (a quiet flag, no progress bars) and push again.`;
    case "image-too-large":
      return `The built app is too large: more than ${size(failure.limitBytes)}.\nLeave out what it does not need at run time, and push again.`;
    case "image-refused":
      return `The image cannot be deployed: ${failure.detail}.`;
    case "image-not-fetched":
      return `The image could not be fetched: ${failure.detail}.\nCheck its name. A private image is pushed to the service's own repository: \`berth registry login\`.`;
    case "push-failed":
      return `The image was built but could not be stored in the registry: ${failure.detail}.\nThis is not your code. Push again in a minute; if it stays, tell the operator.`;
    case "cancelled":
      return "The build was cancelled on request.\nPush again to start a new one.";
    case "superseded":
      return `The build was stopped: a newer push (${failure.by}) of the same service took its place.`;
    case "abandoned":
      return `The build was started ${String(failure.attempts)} times and its builder went away each time.\nThis is not your code. Push again; if it stays, tell the operator.`;
    case "source-unavailable":
      return `The pushed source could not be read: ${failure.detail}.\nThis is not your code. Push again in a minute; if it stays, tell the operator.`;
    case "platform":
      return `The build could not run: ${failure.detail}.\nThis is not your code. Push again in a minute; if it stays, tell the operator.`;
  }
}

function noWeb(found: readonly string[], hasProcfile: boolean): string {
  const why = hasProcfile
    ? `its Procfile has ${list(found)}, but no \`web\``
    : "it has no Procfile and the buildpack knows no default";
  return (
    `Berth does not know how to start this app: ${why}. The \`web\` process is the one that gets requests.\n` +
    "Add a line to the file named Procfile, for example `web: node server.js`, that listens on $PORT. Then commit and push again."
  );
}

function located(file: string, problems: readonly Located[]): string {
  const shown = problems.slice(0, 10).map((problem) => `  ${place(file, problem)}  ${problem.text}`);
  if (problems.length > shown.length) shown.push(`  and ${String(problems.length - shown.length)} more`);
  return shown.join("\n");
}

function place(file: string, { line, column }: Located): string {
  if (line === 0) return file;
  return column === undefined ? `${file}:${String(line)}` : `${file}:${String(line)}:${String(column)}`;
}

function list(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  const shown = names.slice(0, 12);
  return (
    shown.join(", ") + (names.length > shown.length ? ` and ${String(names.length - shown.length)} more` : "")
  );
}

function size(bytes: number): string {
  const mib = bytes / 1024 ** 2;
  return mib >= 1024 ? `${trimNumber(mib / 1024)} GiB` : `${trimNumber(mib)} MiB`;
}

function duration(ms: number): string {
  const minutes = trimNumber(ms / 60_000);
  if (ms < 60_000) return `${trimNumber(ms / 1000)} seconds`;
  return minutes === "1" ? "1 minute" : `${minutes} minutes`;
}

function trimNumber(value: number): string {
  return String(Math.round(value * 10) / 10);
}
