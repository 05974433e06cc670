import { expect, test } from "vitest";
import { commandsOf, parseInfo, parseMap, parseServersState } from "./runtime-text.ts";

const STATE = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 slot_0 1 a 127.0.0.1 0 8 1 1 0 8 2 0 6 0 0 0 - 18112 - 0 0 - - 0
4 slot_1 1 j 127.0.0.2 0 1 1 1 0 1 0 0 2 0 0 0 - 80 - 0 0 - - 0
4 slot_1 2 k 127.0.0.1 2 0 1 1 0 1 0 1 6 0 0 0 - 18112 - 0 0 - - 0

`;

test("servers, and their administrative state", () => {
  expect(parseServersState(STATE)).toEqual([
    { slot: "slot_0", name: "a", address: "127.0.0.1", port: 18112, admin: "drain" },
    { slot: "slot_1", name: "j", address: "127.0.0.2", port: 80, admin: "maint" },
    { slot: "slot_1", name: "k", address: "127.0.0.1", port: 18112, admin: "ready" },
  ]);
  expect(() => parseServersState("2\n# x\n")).toThrow("unknown format");
  expect(() => parseServersState("")).toThrow("unknown format");
});

test("map and process", () => {
  expect(parseMap("0x55ca938d7070 a.localhost slot_1\n\n")).toEqual(new Map([["a.localhost", "slot_1"]]));
  expect(() => parseMap("Unknown map identifier.\n")).toThrow("show map");
  const info = parseInfo("Name: HAProxy\nVersion: 2.6.12\nPid: 12\ndescription: berth-edge-1\n");
  expect(info).toEqual({ pid: 12, description: "berth-edge-1", version: "2.6.12" });
});

test("a name that would end a command never becomes one", () => {
  expect(() =>
    commandsOf(
      { kind: "remove-host", hostname: "a;show env" },
      { mapFile: "/m", sourcesFile: "/s", namesFile: null },
    ),
  ).toThrow("not a single");
});
