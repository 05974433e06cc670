/** Registry tokens for pushes, asked from the secrets service; it may be restarting, so the question is repeated. */
import { MintPushToken } from "@berth/shared/contracts/secret.ts";
import type { BuildId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { BuildStopped } from "../core/build-stopped.ts";

const ATTEMPTS = 20;
const PAUSE_MS = 1500;

/** @throws BuildStopped `push-failed` when it refuses, or stays silent for about half a minute and more */
export async function mintPushToken(
  bus: Bus,
  buildId: BuildId,
  imageRepository: string,
  signal: AbortSignal,
): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      const reply = await bus.request(MintPushToken, { buildId, imageRepository });
      if (reply.outcome === "minted") return reply.token;
      throw new BuildStopped({
        code: "push-failed",
        detail: `the secrets service refused a token: ${reply.reason}`,
      });
    } catch (error) {
      if (error instanceof BuildStopped) throw error;
      if (attempt >= ATTEMPTS) {
        throw new BuildStopped(
          { code: "push-failed", detail: "the secrets service does not answer" },
          { cause: error },
        );
      }
      await sleep(PAUSE_MS, signal);
    }
  }
}
