/** Passages on the bus: a host is asked to open one, and told what the person sends. */
import { OpenPassage, PassageDown } from "@berth/shared/contracts/passage.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import type { HostPassages } from "../passages/host-passages.ts";

export function servePassages(bus: Bus, hostId: HostId, passages: HostPassages): Closable {
  const frames = bus.on(PassageDown, { hostId }, (frame) => passages.take(frame));
  const opened = bus.serve(OpenPassage, { hostId }, async (asked) => {
    const reason = await passages.open(asked);
    return reason === null ? { answer: "opened" as const } : { answer: "refused" as const, reason };
  });
  return {
    close: async () => {
      await opened.close();
      await frames.close();
    },
  };
}
