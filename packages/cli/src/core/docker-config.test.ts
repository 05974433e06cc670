import { expect, test } from "vitest";
import { addRegistryToken } from "./docker-config.ts";

const read = (text: string | null) => {
  const changed = addRegistryToken(text, "10.0.0.1:7425", "new");
  return changed.kind === "changed" ? JSON.parse(changed.text) : changed;
};

test("the token is added, what was there stays", () => {
  expect(read(null)).toEqual({ auths: { "10.0.0.1:7425": { registrytoken: "new" } } });
  const before = {
    auths: { "ghcr.io": { auth: "x" }, "10.0.0.1:7425": { auth: "old" } },
    detachKeys: "ctrl-x",
    credHelpers: { "ghcr.io": "pass" },
  };
  expect(read(JSON.stringify(before))).toEqual({
    ...before,
    auths: { "ghcr.io": { auth: "x" }, "10.0.0.1:7425": { registrytoken: "new" } },
  });
});

test("a file with a credential store, or that is none of Docker's, is not touched", () => {
  expect(read('{"credsStore":"desktop"}')).toMatchObject({ kind: "refused" });
  expect(read('{"credHelpers":{"10.0.0.1:7425":"pass"}}')).toMatchObject({ kind: "refused" });
  expect(read("[]")).toMatchObject({ kind: "refused" });
  expect(read("{")).toMatchObject({ kind: "refused" });
});
