import { expect, test } from "vitest";
import { EMPTY_STATE } from "./edge-state.ts";
import { edgeTraffic, parseTraffic, slotsToCount } from "./edge-traffic.ts";

const STAT = `# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin
slot_0,BACKEND,0,0,2,3,1,17,9
slot_1,BACKEND,0,0,0,1,1,4,9
`;

test("sessions and open ones of every backend, added up for a service with two host names", () => {
  const bySlot = parseTraffic(STAT);
  expect(bySlot.get("slot_0")).toEqual({ sessions: 17, openNow: 2 });
  const site = (hostname: string) => ({ hostname, serviceId: "svc_1", backends: [] });
  const state = {
    ...EMPTY_STATE,
    tables: { env_1: { environmentId: "env_1", version: 1, sites: [site("a.x"), site("b.x"), site("c.x")] } },
    hosts: { "a.x": { environmentId: "env_1", slot: 0 }, "b.x": { environmentId: "env_1", slot: 1 } },
  } as unknown as typeof EMPTY_STATE;
  expect(edgeTraffic(state, 7, bySlot).services.get("svc_1")).toEqual({ sessions: 21, openNow: 2 });
});

test("an answer without the columns is an error, not quiet", () => {
  expect(() => parseTraffic("# pxname,svname\nslot_0,BACKEND\n")).toThrow(/no column stot/);
  expect(() => parseTraffic("# pxname,scur,stot\nslot_0,1,x\n")).toThrow(/show stat/);
});

test("answers to several commands are one", () => {
  const more = STAT.replaceAll("slot_", "slot_7");
  const all = parseTraffic(`${STAT}\n${more}\n`);
  expect([...all.keys()]).toEqual(["slot_0", "slot_1", "slot_70", "slot_71"]);
});

test("what sleeps is not counted, what falls asleep is while it has a server; all where they are many", () => {
  const names = Array.from({ length: 150 }, (_, slot) => `n${slot}.x`);
  const stateOf = (isAsleep: (slot: number) => boolean) =>
    ({
      ...EMPTY_STATE,
      tables: {
        env_1: {
          environmentId: "env_1",
          version: 1,
          sites: names.map((hostname, slot) => ({
            hostname,
            ...(isAsleep(slot) ? { sleep: { epoch: 1 } } : {}),
          })),
        },
      },
      hosts: Object.fromEntries(names.map((hostname, slot) => [hostname, { environmentId: "env_1", slot }])),
    }) as unknown as typeof EMPTY_STATE;
  expect(
    slotsToCount(
      stateOf((slot) => slot !== 3),
      ["slot_9"],
    ),
  ).toEqual(["slot_9", "slot_3"]);
  expect(
    slotsToCount(
      stateOf(() => false),
      [],
    ),
  ).toBeNull();
});
