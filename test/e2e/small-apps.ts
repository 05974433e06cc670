/** Apps of a few lines: they build in a second, because what is tested is the road. */
import type { Files } from "./customer.ts";

/** Answers who it is; `/environment-hash` tells the SHA-256 of a variable without showing it. */
const server = `const { createServer } = require("node:http");
const { createHash } = require("node:crypto");
const env = process.env;
createServer((request, response) => {
  const url = new URL(request.url, "http://app");
  if (url.pathname === "/environment-hash") {
    const value = env[url.searchParams.get("name")];
    return response.end(value === undefined ? "not set" : createHash("sha256").update(value).digest("hex"));
  }
  if (url.pathname === "/slow") return setTimeout(() => response.end("slow answer"), 2000);
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ commit: env.BERTH_COMMIT, instance: env.BERTH_INSTANCE, release: env.BERTH_RELEASE }));
}).listen(Number(env.PORT), "0.0.0.0");
process.on("SIGTERM", () => setTimeout(() => process.exit(0), 300));
`;

export const dockerfileApp: Files = {
  Dockerfile:
    'FROM berth/stack:bookworm\nUSER root\nWORKDIR /srv\nCOPY server.js ./\nUSER app\nCMD ["node", "server.js"]\n',
  "server.js": server,
};

/** Its build script does not end. */
export const hangingApp: Files = {
  "package.json": '{ "name": "slow", "version": "1.0.0", "scripts": { "build": "sleep 600" } }\n',
  Procfile: "web: node server.js\n",
};

export const procfileApp: Files = {
  "package.json": '{ "name": "small", "version": "1.0.0", "private": true }\n',
  Procfile: "web: node server.js\n",
  "server.js": server,
};
