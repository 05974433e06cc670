/** Steps of core/plan-network.ts that are programs to run, as lines of one script. */
import type { ScriptLine } from "../../outbound/run-script.ts";
import type { NetworkStep } from "../core/plan-network.ts";
import { configLine, peersLine, setUpLines } from "./wireguard.ts";

/** @returns null for a step that is more than that */
export function stepLines(step: NetworkStep): ScriptLine[] | null {
  switch (step.kind) {
    case "add-rule": {
      const { priority, words } = step.rule;
      return [ip("rule", "add", "priority", String(priority), ...words)];
    }
    case "remove-rule":
      return [ip("rule", "delete", "priority", String(step.priority))];
    case "configure-tunnel":
      return [step.changes === null ? configLine(step.tunnel) : peersLine(step.tunnel, step.changes)];
    case "set-address":
      return [...setUpLines(step.tunnel), checkSourceLine(step.tunnel.name, "loose")];
    case "set-route": {
      const { table, to, device, source } = step.route;
      const from = source === null ? [] : ["src", source];
      return [ip("route", "replace", to, "dev", device, ...from, "table", String(table))];
    }
    case "remove-route": {
      const { table, to } = step.route;
      // It went with its interface, if that went.
      return [{ argv: ["sh", "-c", 'ip -4 route delete "$1" table "$2" || true', "sh", to, String(table)] }];
    }
    default:
      return null;
  }
}

/** The way back is looked for with the packet's mark, and must be there: strictly there, for a bridge. */
export function sourceChecks(name: string, how: "strict" | "loose"): readonly (readonly [string, string])[] {
  const folder = `/proc/sys/net/ipv4/conf/${name}`;
  return [
    [`${folder}/src_valid_mark`, "1"],
    [`${folder}/rp_filter`, how === "strict" ? "1" : "2"],
  ];
}

export function checkSourceLine(name: string, how: "strict" | "loose"): ScriptLine {
  const settings = 'echo "$2" > "$1" && echo "$4" > "$3"';
  return { argv: ["sh", "-c", settings, "sh", ...sourceChecks(name, how).flat()] };
}

function ip(...words: readonly string[]): ScriptLine {
  return { argv: ["ip", "-4", ...words] };
}
