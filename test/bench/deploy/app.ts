/**
 * The app of `bench deploy`: a small page, a stream of two seconds and a WebSocket that says everything back, in one file of
 * Node without packages. On SIGTERM it says goodbye to its WebSockets (1001) and ends when nothing is open.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gitTokenEnv, runGit } from "@berth/infra/run-git.ts";

/** The stream comes in so many parts, one every 200 ms. */
export const streamParts = 10;

const server = `const { createServer } = require("node:http");
const { createHash } = require("node:crypto");
const sockets = new Set();
const server = createServer((request, response) => {
  if (request.url !== "/stream") return response.end("ok " + process.env.BERTH_RELEASE);
  let parts = 0;
  const timer = setInterval(() => {
    response.write("part\\n");
    if (++parts === ${streamParts}) { clearInterval(timer); response.end(); }
  }, 200);
  response.on("close", () => clearInterval(timer));
});
const frame = (opcode, payload) => Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]);
const goodbye = frame(8, Buffer.from([0x03, 0xe9]));
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n");
  sockets.add(socket);
  let bytes = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    // Messages of clients are short and masked.
    while (bytes.length >= 6 && bytes.length >= 6 + (bytes[1] & 127)) {
      const length = bytes[1] & 127;
      const payload = Buffer.from(bytes.subarray(6, 6 + length).map((byte, i) => byte ^ bytes[2 + (i % 4)]));
      if ((bytes[0] & 15) === 8) socket.end(goodbye);
      else socket.write(frame(1, payload));
      bytes = bytes.subarray(6 + length);
    }
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => sockets.delete(socket));
});
server.listen(Number(process.env.PORT), "0.0.0.0");
process.on("SIGTERM", () => {
  for (const socket of sockets) socket.write(goodbye);
  server.close(() => process.exit(0));
});
`;

const dockerfile =
  'FROM berth/stack:bookworm\nUSER root\nWORKDIR /srv\nCOPY server.js ./\nUSER app\nCMD ["node", "server.js"]\n';
const author = {
  ...{ GIT_AUTHOR_NAME: "Ann", GIT_AUTHOR_EMAIL: "ann@example.org" },
  ...{ GIT_COMMITTER_NAME: "Ann", GIT_COMMITTER_EMAIL: "ann@example.org" },
};

/** @throws Error with what the push said when the app was not deployed */
export async function pushApp(folder: string, gitUrl: string, token: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "Dockerfile"), dockerfile);
  await writeFile(join(folder, "server.js"), server);
  await runGit(["init", "--quiet", "--initial-branch=main"], { cwd: folder });
  await runGit(["add", "--all"], { cwd: folder });
  await runGit(["commit", "--quiet", "--message", "bench"], { cwd: folder, env: author });
  await runGit(["push", gitUrl, "HEAD:refs/heads/main"], {
    ...{ cwd: folder, env: gitTokenEnv(gitUrl, token), timeoutMs: 300_000 },
  });
}
