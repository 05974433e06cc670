/** Connections are shared out among the instances of one process. */
import { expect, test } from "vitest";
import { chooseInstances } from "./choose-instances.ts";

const of = (process: string, slot: number) => ({ process, slot, port: 8080 });
const [web1, web2, work] = [of("web", 1), of("web", 2), of("worker", 1)];

test("each connection begins with the next instance, and has the others to fall back on", () => {
  expect(chooseInstances([web1, web2, work], undefined, 0)).toEqual([web1, web2]);
  expect(chooseInstances([web1, web2, work], undefined, 1)).toEqual([web2, web1]);
  expect(chooseInstances([web1, web2, work], undefined, 2)).toEqual([web1, web2]);
});

test("a process may be named; without `web` any will do; none is none", () => {
  expect(chooseInstances([web1, work], "worker", 5)).toEqual([work]);
  expect(chooseInstances([work], undefined, 0)).toEqual([work]);
  expect(chooseInstances([web1], "worker", 0)).toEqual([]);
});

test("no more than three are tried", () => {
  expect(
    chooseInstances(
      Array.from({ length: 9 }, (_, i) => of("web", i)),
      undefined,
      0,
    ),
  ).toHaveLength(3);
});
