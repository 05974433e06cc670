import { expect, test } from "vitest";
import { describe as describeSchema, renderDocs } from "./render-docs.ts";

test("a schema reads like a type", () => {
  const schema = {
    type: "object",
    properties: { name: { type: "string", maxLength: 5 }, list: { items: { enum: ["a", "b"] } } },
    required: ["name"],
  };
  expect(describeSchema(schema, 0)).toBe('{\n  name: string (≤ 5 characters)\n  list?: ["a" | "b"]\n}');
});

test("text of the document cannot become markup", () => {
  const page = renderDocs(
    { info: { title: "<img src=x>", version: "1" }, paths: { "/<b>": { get: { summary: '"><script>' } } } },
    [],
  );
  expect(page).not.toContain("<img");
  expect(page).not.toContain("<script");
});
