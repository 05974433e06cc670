/** The project's TypeScript sources, for the rules in this folder. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

const SKIPPED = new Set(["node_modules", ".berth", ".git", "samples", "dist"]);

/** Every .ts file below `folder`, as absolute paths; none when the folder does not exist. */
export function sourceFiles(folder: string): string[] {
  const found: string[] = [];
  const entries = (() => {
    try {
      return readdirSync(folder, { withFileTypes: true });
    } catch {
      return [];
    }
  })();
  for (const entry of entries) {
    if (SKIPPED.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...sourceFiles(path));
    else if (entry.name.endsWith(".ts")) found.push(path);
  }
  return found;
}
