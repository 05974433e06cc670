import { expect, test } from "vitest";
import { assertMigrationNames } from "./migrate.ts";

test("migrations are numbered, each number once", () => {
  expect(() => assertMigrationNames("m", ["0001-tables.sql", "0002-more-columns.sql"])).not.toThrow();
  expect(() => assertMigrationNames("m", ["0001-a.sql", "0001-b.sql"])).toThrow(
    "two migrations have the number 0001",
  );
  expect(() => assertMigrationNames("m", ["tables.sql"])).toThrow("0001-what-it-does.sql");
});
