import { defineConfig } from "vitest/config";

/** Fast tests only. `*.real.test.ts` need real parts and run with `--config vitest.real.config.ts`. */
export default defineConfig({
  test: {
    include: ["{packages,services}/*/src/**/*.test.ts", "infra/src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/*.real.test.ts", "samples/**"],
    testTimeout: 20_000,
    // Node runs the sources as they are; vitest's own caches stay out of the tree.
    cache: false,
  },
});
