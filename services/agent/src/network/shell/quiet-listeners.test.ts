/** Who is told, and when again. */
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { QuietListeners } from "./quiet-listeners.ts";

const podCidr = "10.128.0.0/10";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function listeners(answer: () => Promise<void>) {
  const told: string[][] = [];
  const quiet = new QuietListeners(silentLog, (words) => {
    told.push([...words]);
    return answer();
  });
  return { told, quiet };
}

test("new ones are told together and once, one to which something was done again, one that went no more", async () => {
  const { told, quiet } = listeners(async () => {});
  quiet.noteTunnel("a");
  quiet.keepTunnels(["a", "b"]);
  quiet.noteResolver(77);
  await vi.advanceTimersByTimeAsync(2000);
  expect(told).toEqual([]);
  quiet.setPodCidr(podCidr);
  await vi.advanceTimersByTimeAsync(2000);
  expect(told).toEqual([[podCidr, "a", "b", "77"]]);
  quiet.keepTunnels(["a", "b"]);
  quiet.noteTunnel("b");
  await vi.advanceTimersByTimeAsync(2000);
  quiet.keepTunnels(["a"]);
  quiet.keepTunnels(["a", "b"]);
  await vi.advanceTimersByTimeAsync(2000);
  expect(told.slice(1)).toEqual([
    [podCidr, "b"],
    [podCidr, "b"],
  ]);
});

test("a tunnel's process is told along once it is known, also when something is done to it later", async () => {
  const { told, quiet } = listeners(async () => {});
  quiet.setPodCidr(podCidr);
  quiet.noteTunnel("a", 42);
  await vi.advanceTimersByTimeAsync(2000);
  quiet.noteTunnel("a");
  quiet.noteTunnel("b");
  await vi.advanceTimersByTimeAsync(2000);
  quiet.noteTunnel("a", 43);
  await vi.advanceTimersByTimeAsync(2000);
  expect(told).toEqual([
    [podCidr, "a:42"],
    [podCidr, "a:42", "b"],
    [podCidr, "a:43"],
  ]);
});

test("a failure stops nothing", async () => {
  const { told, quiet } = listeners(async () => {
    if (told.length === 1) throw new Error("no perl");
  });
  quiet.setPodCidr(podCidr);
  quiet.noteTunnel("a");
  await vi.advanceTimersByTimeAsync(2000);
  quiet.noteTunnel("b");
  await vi.advanceTimersByTimeAsync(2000);
  expect(told).toEqual([
    [podCidr, "a"],
    [podCidr, "b"],
  ]);
});
