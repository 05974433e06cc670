import fc from "fast-check";
import { expect, test } from "vitest";
import { checkRefUpdates, isRefName, ZERO_ID } from "./check-ref-updates.ts";

const ID = "1".repeat(40);
const line = (ref: string, newId = ID) => `${ZERO_ID} ${newId} ${ref}`;

test.each(["refs/heads/main", "refs/heads/feature/x-1", "refs/tags/v1.2.3", "refs/heads/a_b.c"])(
  "takes %s",
  (ref) => {
    expect(isRefName(ref)).toBe(true);
  },
);

test.each([
  "HEAD",
  "refs/heads/",
  "refs/notes/x",
  "refs/replace/x",
  "refs/heads/-x",
  "refs/heads/--upload-pack=x",
  "refs/heads/a/-b",
  "refs/heads/a..b",
  "refs/heads/../../x",
  "refs/heads/.hidden",
  "refs/heads/a.lock",
  "refs/heads/a.lock/b",
  "refs/heads/a.",
  "refs/heads/a//b",
  "refs/heads/a b",
  "refs/heads/a\u001b[31m",
  "refs/heads/ünï",
  "refs/heads/a@{1}",
  "refs/heads/$(id)",
  "refs/heads/a;b",
  "refs/heads/a\\b",
  "-x",
  `refs/heads/${"a".repeat(250)}`,
])("refuses %j", (ref) => {
  expect(checkRefUpdates([line(ref)], { refsCount: 5 }, "main")).toMatchObject({
    kind: "refused",
    code: "push-ref-name",
  });
});

test("refuses too many refs, broken lines and the end of the deploy branch", () => {
  const many = Array.from({ length: 6 }, (_, i) => line(`refs/heads/b${i}`));
  expect(checkRefUpdates(many, { refsCount: 5 }, "main")).toMatchObject({ code: "push-too-many-refs" });
  expect(checkRefUpdates(["nonsense"], { refsCount: 5 }, "main")).toMatchObject({ code: "push-ref-name" });
  expect(checkRefUpdates([line("refs/heads/main", ZERO_ID)], { refsCount: 5 }, "main")).toMatchObject({
    kind: "refused",
  });
  expect(checkRefUpdates([line("refs/heads/old", ZERO_ID)], { refsCount: 5 }, "main")).toMatchObject({
    kind: "updates",
  });
});

test("no name that passes can be taken for an option, a path out or an escape", () => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      const ref = `refs/heads/${name}`;
      if (!isRefName(ref)) return;
      expect(ref).toMatch(/^[A-Za-z0-9._/-]+$/);
      expect(ref).not.toMatch(/\.\.|\/-|\/\.|\/\//);
    }),
  );
});
