/** A process of simulated agents, and the other ends of the floors. Told what to do over the channel to its parent. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import { type BareConnection, connectBare } from "@berth/shared/kit/bare-connection.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { createLog } from "@berth/shared/kit/log.ts";
import { answerBroadcasts } from "./broadcast.ts";
import type { BusAddress } from "./parts.ts";
import { SimAgents } from "./sim-agents.ts";

export type ToAgents =
  | { readonly kind: "start"; readonly bus: BusAddress }
  | {
      readonly kind: "hosts";
      readonly hosts: readonly { id: HostId; name: string }[];
      readonly memoryBytes: number;
      /** Bytes of a bare answer. */
      readonly echo: string;
    }
  | { readonly kind: "settle" | "clear" | "states" | "cpu" | "end" };

let agents: SimAgents | undefined;
let bus: ReturnType<typeof connectBus> | undefined;
let raw: BareConnection | undefined;
let floors: { close(): void }[] = [];

async function handle(message: ToAgents): Promise<unknown> {
  switch (message.kind) {
    case "start": {
      bus = connectBus({ service: "agent", ...message.bus, log: createLog("bench-agents", "error") });
      await bus.ready;
      raw = await connectBare({ service: "agent", ...message.bus });
      return null;
    }
    case "hosts": {
      agents?.close();
      for (const one of floors) one.close();
      if (bus === undefined || raw === undefined) throw new Error("not started");
      const made = new SimAgents(bus);
      agents = made;
      for (const { id, name } of message.hosts) made.add(id, name, message.memoryBytes);
      made.each("clear");
      const answer = message.echo;
      const echo = raw.subscribe("bench.echo.*", { callback: (_error, asked) => void asked.respond(answer) });
      const connection = raw;
      floors = [
        { close: () => echo.unsubscribe() },
        ...message.hosts.map(({ id }) => answerBroadcasts(connection, id, made)),
      ];
      await raw.flush();
      return null;
    }
    case "settle":
    case "clear":
      agents?.each(message.kind);
      return null;
    case "states":
      return agents?.states() ?? [];
    case "cpu":
      return process.cpuUsage();
    case "end":
      setTimeout(() => process.exit(0), 10);
      return null;
  }
}

process.on("message", (message: { id: number; ask: ToAgents }) => {
  handle(message.ask).then(
    (answer) => process.send?.({ id: message.id, answer }),
    (error: unknown) => process.send?.({ id: message.id, error: String(error) }),
  );
});
// Ctrl-C reaches the whole group: the parent ends this process.
process.on("SIGINT", () => undefined);
process.on("disconnect", () => process.exit(0));
