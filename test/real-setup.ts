/** Before all real tests: a PostgreSQL for those that only want one, unless BERTH_TEST_POSTGRES_URL names one. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = join(import.meta.dirname, "../infra/src/testing/postgres-process.ts");

export async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.BERTH_TEST_POSTGRES_URL !== undefined) return undefined;
  const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    ended.then(() => {
      throw new Error("no PostgreSQL for the tests: see its words above");
    }),
  ])) as [string];
  process.env.BERTH_TEST_POSTGRES_URL = (JSON.parse(line) as { adminUrl: string }).adminUrl;
  return async () => {
    child.stdin.end();
    await ended;
  };
}
