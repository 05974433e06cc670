/**
 * How a pushed tree is built: by its Dockerfile, by a named custom buildpack, or by the built-in buildpacks.
 *
 * The service's own setting decides first; then a heroku.yml or a Dockerfile at the top; then `.buildpacks` or the service's
 * buildpack URL; else the built-in buildpacks are asked in the build container, in a fixed order.
 */
import type { BuildFailure } from "./build-failure.ts";
import { type BuildpackRef, parseBuildpackList } from "./parse-buildpack-url.ts";

export interface SourceView {
  /** Names at the top of the tree, at most a few thousand. */
  readonly topFiles: readonly string[];
  readonly buildpacksFile: string | null;
}

export interface BuildSettings {
  readonly kind: "auto" | "dockerfile" | "buildpack";
  readonly buildpackUrl: string | null;
}

export type BuildKind =
  | { readonly kind: "dockerfile" }
  | { readonly kind: "buildpack"; readonly custom: readonly BuildpackRef[] }
  | { readonly kind: "refused"; readonly failure: BuildFailure };

export function detectKind(source: SourceView, settings: BuildSettings): BuildKind {
  // A heroku.yml names the Dockerfile.
  const hasDockerfile = ["heroku.yml", "Dockerfile"].some((name) => source.topFiles.includes(name));
  if (settings.kind === "dockerfile" && !hasDockerfile) {
    const problems = [
      {
        line: 0,
        text: "the service is set to build from a Dockerfile, and there is none at the top of the repository",
      },
    ];
    return { kind: "refused", failure: { code: "bad-dockerfile", problems } };
  }
  if (hasDockerfile && settings.kind !== "buildpack") return { kind: "dockerfile" };
  const list = settings.buildpackUrl ?? source.buildpacksFile;
  if (list === null) return { kind: "buildpack", custom: [] };
  const parsed = parseBuildpackList(list);
  return parsed.kind === "refused"
    ? { kind: "refused", failure: parsed.failure }
    : { kind: "buildpack", custom: parsed.refs };
}
