/**
 * Reads the part of `heroku.yml` that has a meaning here: `build.docker` (one image), `build.config`, `run` and
 * `release`. The rest is refused by name and line, so that nobody believes that it works.
 */
import { posix } from "node:path";
import { z } from "zod";
import { ProcessName } from "../domain/names.ts";
import { CommandText, RELEASE_PROCESS } from "../domain/tasks.ts";
import { readYamlFile, type YamlProblem } from "./yaml-file.ts";

const DockerfilePath = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._/-]*$/, "must be a Dockerfile's path within the repository")
  .refine(
    (path) => posix.normalize(path) === path && !path.endsWith("/") && !path.split("/").includes(".."),
    {
      error: "must be a Dockerfile's path within the repository",
    },
  );
const Target = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, "must be a stage's name");

const DockerImage = z.strictObject({ dockerfile: DockerfilePath, target: Target.optional() });
const Image = z.union(
  [DockerfilePath.transform((dockerfile) => ({ dockerfile, target: undefined })), DockerImage],
  {
    error: "must be a Dockerfile's path, or dockerfile and target",
  },
);
type Image = z.output<typeof Image>;

const Command = z
  .union([CommandText, z.tuple([CommandText])], { error: "must be one command; join several with &&" })
  .transform((given) => (typeof given === "string" ? given : given[0]));
const Run = z.strictObject({ command: Command, image: ProcessName.optional() });
const RunOrCommand = z.union([Command.transform((command) => ({ command, image: undefined })), Run], {
  error: "must be one command, or command and image",
});

const HerokuFile = z
  .strictObject({
    setup: z
      .never("is not used here: variables are set by berth vars set, and there are no add-ons")
      .optional(),
    build: z.strictObject({
      docker: z
        .record(ProcessName, Image)
        .refine((images) => Object.keys(images).length > 0, "names no image")
        .refine(
          isOneImage,
          "all processes of a service run one image; make a service of each other Dockerfile",
        ),
      config: z
        .record(
          z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/, "is no name of a build argument"),
          z
            .union([z.string().max(4096), z.number()], { error: "must be a text or a number" })
            .transform(String),
        )
        .optional(),
    }),
    run: z.record(ProcessName, RunOrCommand).optional(),
    release: Run.optional(),
  })
  .superRefine(({ build, run = {}, release }, context) => {
    const used: [string[], string | undefined][] = [
      ...Object.entries(run).map(([name, { image }]): [string[], typeof image] => [
        ["run", name, "image"],
        image,
      ]),
      [["release", "image"], release?.image],
    ];
    for (const [path, image] of used)
      if (image !== undefined && build.docker[image] === undefined)
        context.addIssue({ code: "custom", path, message: `build.docker has no ${image}` });
    for (const name of Object.keys(build.docker))
      if (name !== "web" && name !== RELEASE_PROCESS && run[name] === undefined)
        context.addIssue({
          code: "custom",
          path: ["build", "docker", name],
          message: `only web runs the image's own command; add run.${name}`,
        });
  });

function isOneImage(images: Readonly<Record<string, Image>>): boolean {
  return (
    new Set(Object.values(images).map(({ dockerfile, target = "" }) => `${dockerfile} ${target}`)).size <= 1
  );
}

export interface HerokuBuild {
  /** Of the Dockerfile, within the repository; its folder is what the build sees. */
  readonly dockerfile: string;
  /** Stage that the image is of; null: the last one. */
  readonly target: string | null;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Process → command, `release` among them. `web` may be missing: then it is the image's own. */
  readonly commands: Readonly<Record<string, string>>;
}

export type ReadHerokuYml =
  | { readonly kind: "read"; readonly build: HerokuBuild }
  | { readonly kind: "problems"; readonly problems: readonly YamlProblem[] };

const KEYS = {
  "": ["build", "run", "release"],
  build: ["docker", "config"],
  release: ["command", "image"],
} as const;

export function readHerokuYml(text: string): ReadHerokuYml {
  const read = readYamlFile(text, HerokuFile, (path) => {
    if (path[0] === "run") return KEYS.release;
    return path[0] === "build" && path.length > 1
      ? ["dockerfile", "target"]
      : (KEYS[(path[0] ?? "") as keyof typeof KEYS] ?? []);
  });
  if (read.kind === "problems") return read;
  const { build, run = {}, release } = read.value;
  const { dockerfile = "Dockerfile", target = null } = Object.values(build.docker)[0] ?? {};
  const commands = Object.entries(run).map(([name, { command }]) => [name, command]);
  return {
    kind: "read",
    build: {
      dockerfile,
      target,
      buildArgs: build.config ?? {},
      commands: {
        ...Object.fromEntries(commands),
        ...(release === undefined ? {} : { [RELEASE_PROCESS]: release.command }),
      },
    },
  };
}
