import { defineConfig } from "vitest/config";

/** Tests against real Docker, NATS, PostgreSQL, HAProxy, git. One file at a time: they share one small machine. */
export default defineConfig({
  test: {
    include: ["**/*.real.test.ts"],
    exclude: ["**/node_modules/**", "samples/**"],
    globalSetup: ["test/real-setup.ts"],
    testTimeout: 180_000,
    hookTimeout: 300_000,
    fileParallelism: false,
    cache: false,
  },
});
