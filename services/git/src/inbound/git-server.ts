/** The HTTP server that git clients talk to. */
import { createServer } from "node:http";
import { sleep } from "@berth/shared/kit/clock.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import type { GitRequestGiven } from "./git-request.ts";
import { answerRequest } from "./git-request.ts";

const HEADERS_TIMEOUT_MS = 15_000;
const FAREWELL_MS = 2000;

export async function serveGit(
  address: { listenHost: string; listenPort: number },
  given: GitRequestGiven,
): Promise<Closable> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: given.transferTimeoutMs,
      keepAliveTimeout: 5000,
      maxHeaderSize: 16_384,
    },
    (request, response) => void answerRequest(given, request, response),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address.listenPort, address.listenHost, resolve);
  });
  given.log.info("git.listening", { address: server.address() });
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await Promise.race([closed, sleep(FAREWELL_MS)]);
      server.closeAllConnections();
    },
  };
}
