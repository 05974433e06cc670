/** Runs git for the demo, tests and benchmarks, with an environment of its own. */
import { run } from "./run-command.ts";

export type GitOptions = {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly onLine?: (line: string) => void;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
};

/** @returns what git printed on stdout  @throws CommandError with its last lines */
export function runGit(args: readonly string[], options: GitOptions): Promise<string> {
  const onLine = options.onLine;
  return run(["git", ...args], {
    cwd: options.cwd,
    timeoutMs: options.timeoutMs ?? 60_000,
    signal: options.signal,
    env: {
      PATH: process.env.PATH,
      HOME: options.cwd,
      LANG: "C.UTF-8",
      GIT_CONFIG_NOSYSTEM: "1",
      ...options.env,
    },
    ...(onLine === undefined
      ? {}
      : {
          onLine: (text) => {
            for (const line of text.split("\r")) if (line.trim() !== "") onLine(line);
          },
        }),
  });
}

/** The environment with which git presents a token to one URL: not in argv, not in any configuration file. */
export function gitTokenEnv(gitUrl: string, token: string): Record<string, string> {
  const basic = Buffer.from(`berth:${token}`).toString("base64");
  return {
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: `http.${gitUrl}.extraHeader`,
    GIT_CONFIG_VALUE_0: `Authorization: Basic ${basic}`,
    GIT_TERMINAL_PROMPT: "0",
  };
}
