import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newTestId } from "../testing/ids.ts";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import { Ledger } from "./ledger.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-ledger-"));
});
afterEach(() => rm(folder, { recursive: true }));

const record = () => unitRecord({}, unitSpec({ jobId: newTestId("job") }));

test("what was saved is there again, with the highest leader epoch; what was forgotten is not", async () => {
  const ledger = new Ledger(folder);
  await ledger.load();
  const [kept, gone] = [record(), record()];
  await Promise.all([ledger.save(kept), ledger.save(gone), ledger.saveLeaderEpoch(7)]);
  await ledger.forget(gone.spec.jobId);
  expect(await new Ledger(folder).load()).toEqual({
    records: [kept],
    leaderEpoch: 7,
    damaged: [],
    torn: [],
  });
});

test("writes of one job end in their order: the last one stays", async () => {
  const ledger = new Ledger(folder);
  await ledger.load();
  const first = record();
  for (let sequence = 1; sequence <= 50; sequence++) void ledger.save({ ...first, sequence });
  await ledger.settled();
  expect((await new Ledger(folder).load()).records).toMatchObject([{ sequence: 50 }]);
});

test("of saves that wait for one another only the newest is written, and all of them wait for it", async () => {
  const ledger = new Ledger(folder);
  await ledger.load();
  const first = record();
  const begun = ledger.save(first);
  const replaced = ledger.save({ ...first, sequence: 2 });
  const newest = ledger.save({ ...first, sequence: 3 });
  expect(newest).toBe(replaced);
  await Promise.all([begun, replaced]);
  expect((await new Ledger(folder).load()).records).toMatchObject([{ sequence: 3 }]);
});

test("what is saved after it was asked to be forgotten is there", async () => {
  const ledger = new Ledger(folder);
  await ledger.load();
  const first = record();
  void ledger.save(first);
  void ledger.forget(first.spec.jobId);
  await ledger.save({ ...first, sequence: 9 });
  expect((await new Ledger(folder).load()).records).toMatchObject([{ sequence: 9 }]);
});

test("a file that cannot be read is moved aside and told, the others are read", async () => {
  const ledger = new Ledger(folder);
  await ledger.load();
  const good = record();
  await ledger.save(good);
  await writeFile(join(folder, `${newTestId("job")}.json`), '{"format":1,"spec":');
  await writeFile(join(folder, "half.json.new"), "{");
  const loaded = await new Ledger(folder).load();
  expect(loaded.records).toEqual([good]);
  expect(loaded.damaged).toHaveLength(1);
  expect((await readdir(folder)).filter((name) => name.endsWith(".damaged"))).toHaveLength(1);
  expect(loaded.torn).toEqual(["half.json.new"]);
  await ledger.removeTorn("half.json.new");
  expect(await readdir(folder)).not.toContain("half.json.new");
});
