/** The crash points that the sources name, read from the sources. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface CrashPoint {
  readonly name: string;
  /** Path from the checkout's root. */
  readonly file: string;
}

const root = join(import.meta.dirname, "../..");

/** Every call, also of the same name twice. @throws Error for a name that is not a plain text: it cannot be listed */
export function findCrashPoints(): CrashPoint[] {
  return sourceFiles().flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8");
    const calls = [...text.matchAll(/\bcrashPoint\(([^)]*)\)/g)].map((match) => match[1] ?? "");
    return calls
      .filter((argument) => argument !== "name: string")
      .map((argument) => {
        const name = /^"([a-z.-]+)"$/.exec(argument)?.[1];
        if (name === undefined)
          throw new Error(`${file}: crashPoint(${argument}): the name must be one plain text`);
        return { name, file };
      });
  });
}

function sourceFiles(): string[] {
  return ["services", "packages/shared/src"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts") && !path.includes("node_modules"))
      .map((path) => join(folder, path)),
  );
}
