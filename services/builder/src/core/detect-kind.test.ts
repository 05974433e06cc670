import { expect, it } from "vitest";
import { detectKind } from "./detect-kind.ts";

const auto = { kind: "auto", buildpackUrl: null } as const;
const tree = (topFiles: string[], buildpacksFile: string | null = null) => ({ topFiles, buildpacksFile });

it("prefers a Dockerfile, unless the service says buildpack", () => {
  expect(detectKind(tree(["Dockerfile", "package.json"]), auto)).toEqual({ kind: "dockerfile" });
  expect(detectKind(tree(["heroku.yml", "package.json"]), auto)).toEqual({ kind: "dockerfile" });
  expect(detectKind(tree(["Dockerfile"]), { ...auto, kind: "buildpack" })).toEqual({
    kind: "buildpack",
    custom: [],
  });
  expect(detectKind(tree(["package.json"]), auto)).toEqual({ kind: "buildpack", custom: [] });
  expect(detectKind(tree([]), { ...auto, kind: "dockerfile" })).toMatchObject({
    failure: { code: "bad-dockerfile" },
  });
});

it("takes custom buildpacks from the service's setting before the file", () => {
  const file = "https://git.example.com/a.git#v1\n";
  expect(detectKind(tree([], file), auto)).toMatchObject({
    custom: [{ url: "https://git.example.com/a.git", host: "git.example.com", ref: "v1" }],
  });
  const set = { ...auto, buildpackUrl: "https://git.example.com/b.git" };
  expect(detectKind(tree([], file), set)).toMatchObject({
    custom: [{ url: "https://git.example.com/b.git", ref: null }],
  });
});

it.each([
  "http://git.example.com/a.git",
  "ssh://git@git.example.com/a.git",
  "file:///etc",
  "ext::sh -c id",
  "--upload-pack=x",
  "https://user:pw@git.example.com/a.git",
  "https://git.example.com:8443/a.git",
  "https://localhost/a.git",
  "https://[::1]/a.git",
  "https://git.example.com/a.git#--upload-pack=x",
  "https://git.example.com/a.git#a..b",
  "https://git.example.com/a.git#%00",
  Array.from({ length: 6 }, (_, i) => `https://git.example.com/${i}.git`).join("\n"),
  "",
])("refuses the buildpack %j", (file) => {
  expect(detectKind(tree([], file), auto)).toMatchObject({
    kind: "refused",
    failure: { code: "bad-buildpack" },
  });
});
