/**
 * What BuildKit's plain output says: which lines a person wants to see, and why a build failed.
 *
 * The client's exit code is 1 for everything, so the reason is read from its last lines. What is not recognised
 * stays a plain non-zero exit, with the output above it to read.
 */
import type { BuildFailure } from "./build-failure.ts";

/** @returns the line as the pusher sees it, or null for lines that only repeat internal digests. */
export function showBuildkitLine(line: string): string | null {
  if (/^#\d+ sha256:[0-9a-f]{64}$/.test(line)) return null;
  if (
    /^#\d+ (transferring context|transferring dockerfile|resolve |exporting layers|writing image|naming to)/.test(
      line,
    )
  )
    return null;
  return line;
}

const STEP_FAILED =
  /(?:executor failed running|process) \[?"?(.{1,500}?)"?\]?(?::| did not complete successfully:) exit code: (\d+)/;
const PARSE_ERROR = /dockerfile parse error(?: on)? line (\d+): (.{1,300})/i;
const NO_BASE_IMAGE: readonly RegExp[] = [
  /failed to do request: Head "https?:\/\/([^/"\s]+\/v2\/[^"\s]+?)\/manifests\/([^"\s]+)"/,
  /failed to resolve source metadata for ([\w./:@-]+)/,
  /([\w-]+\.[a-z]+(?::\d+)?\/[\w./:@-]+): (?:pull access denied|not found|failed to authorize)/,
];
const OTHER =
  /failed to solve(?: with frontend dockerfile\.v0)?: (?:rpc error: code = \w+ desc = )?(.{1,400})/;

/** @param lastLines the last few hundred lines of output, oldest first */
export function readBuildkitFailure(lastLines: readonly string[], exitCode: number): BuildFailure {
  for (const line of lastLines.toReversed()) {
    const step = STEP_FAILED.exec(line);
    if (step?.[1] !== undefined) {
      return {
        code: "build-exit",
        step: `\`RUN ${step[1].replace(/^\/bin\/sh -c /, "")}\``,
        exitCode: Number(step[2]),
      };
    }
    const parse = PARSE_ERROR.exec(line);
    if (parse?.[2] !== undefined) {
      return { code: "bad-dockerfile", problems: [{ line: Number(parse[1]), text: parse[2] }] };
    }
    const image = /failed to solve/.test(line) ? missingImage(line) : null;
    if (image !== null) {
      const text = `the image ${image} could not be fetched. Does it exist, and may the builder reach its registry?`;
      return { code: "bad-dockerfile", problems: [{ line: 0, text }] };
    }
    const other = OTHER.exec(line);
    if (other?.[1] !== undefined) return { code: "bad-dockerfile", problems: [{ line: 0, text: other[1] }] };
  }
  return { code: "build-exit", step: "`docker build`", exitCode };
}

function missingImage(line: string): string | null {
  for (const pattern of NO_BASE_IMAGE) {
    const match = pattern.exec(line);
    if (match?.[1] === undefined) continue;
    const path = match[1]
      .replace("registry-1.docker.io/v2/library/", "")
      .replace("registry-1.docker.io/v2/", "");
    return match[2] === undefined ? path : `${path.replace("/v2/", "/")}:${match[2]}`;
  }
  return null;
}
