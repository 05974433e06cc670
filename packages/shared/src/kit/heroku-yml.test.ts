import { expect, test } from "vitest";
import { readHerokuYml } from "./heroku-yml.ts";

const problems = (text: string) => {
  const read = readHerokuYml(text);
  return read.kind === "problems" ? read.problems.map((one) => `${one.line} ${one.text}`) : [];
};

test("one image, its processes, its release phase and its arguments", () => {
  const text = `
build:
  docker:
    web: docker/web.Dockerfile
    worker: docker/web.Dockerfile
  config:
    NODE_ENV: production
    LEVEL: 3
run:
  web: node server.js
  worker:
    command:
      - node worker.js
    image: web
release:
  command:
    - node migrate.js
  image: web
`;
  expect(readHerokuYml(text)).toEqual({
    kind: "read",
    build: {
      dockerfile: "docker/web.Dockerfile",
      target: null,
      buildArgs: { NODE_ENV: "production", LEVEL: "3" },
      commands: { web: "node server.js", worker: "node worker.js", release: "node migrate.js" },
    },
  });
});

test("the image's own command, and a stage", () => {
  const read = readHerokuYml("build: {docker: {web: {dockerfile: Dockerfile, target: runtime}}}");
  expect(read).toMatchObject({ build: { dockerfile: "Dockerfile", target: "runtime", commands: {} } });
});

test("what has no meaning here is refused by its line", () => {
  const text = [
    ...["setup:", "  addons: []", "build:", "  docker:", "    web: Dockerfile", "    jobs: Dockerfile"],
    ...["  packs: [a]", "rum:", "  web: node a.js"],
  ].join("\n");
  expect(problems(text)).toEqual([
    expect.stringMatching(/^1|^2 setup: is not used here/),
    expect.stringMatching(/^7 unknown key "packs" in build; known are: docker, config/),
    expect.stringMatching(/^8 unknown key "rum"; did you mean run\?/),
  ]);
});

test.each([
  [
    "two images",
    "build:\n  docker:\n    web: Dockerfile\n    worker: Other\nrun: {worker: a}",
    /^3 build.docker: all processes/,
  ],
  [
    "an image that is not built",
    "build: {docker: {web: Dockerfile}}\nrun:\n  web:\n    command: a\n    image: other",
    /^5 run.web.image/,
  ],
  [
    "a process without a command",
    "build:\n  docker:\n    web: Dockerfile\n    worker: Dockerfile",
    /^4 .*add run.worker/,
  ],
  [
    "several commands",
    "build: {docker: {web: Dockerfile}}\nrelease:\n  command: [a, b]",
    /^3 release.command: must be one command/,
  ],
  ["no build", "run: {web: a}", /build/],
  ...["/etc/passwd", "../Dockerfile", "a/../../b", "a//b", "-f", "a/", "a b"].map(
    (path): [string, string, RegExp] => [
      path,
      `build: {docker: {web: ${JSON.stringify(path)}}}`,
      /Dockerfile's path/,
    ],
  ),
])("%s is refused", (_what, text, expected) => expect(problems(text)[0]).toMatch(expected));
