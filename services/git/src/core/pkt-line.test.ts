import fc from "fast-check";
import { expect, test } from "vitest";
import { FRESH_REPLY, inspectReply } from "./explain-unpack.ts";
import { messagePacket, PacketCutter } from "./pkt-line.ts";

test("packets come out whole, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 50 })), fc.array(fc.nat(200)), (texts, cuts) => {
      const packets = [...texts.map((text) => messagePacket(text)), Buffer.from("0000")];
      const stream = Buffer.concat(packets);
      const cutter = new PacketCutter();
      const points = [0, ...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
      const out = points.slice(1).flatMap((end, i) => cutter.push(stream.subarray(points[i], end)) ?? []);
      expect(out.map(String)).toEqual(packets.map(String));
      expect(cutter.take().length).toBe(0);
    }),
  );
});

test("what is not pkt-line is passed on", () => {
  const cutter = new PacketCutter();
  expect(cutter.push(Buffer.from("<html>"))).toBeNull();
  expect(cutter.take().toString()).toBe("<html>");
});

const report = (text: string) => {
  const packet = messagePacket(text);
  packet[4] = 1;
  return packet;
};

test("only a report of a failed unpack is explained, once, with what was noticed", () => {
  expect(inspectReply(FRESH_REPLY, report("000eunpack ok\n"), "pack-size").explain).toBeNull();
  const failed = inspectReply(FRESH_REPLY, report("0020unpack index-pack abnormal exit\n"), "pack-size");
  expect(failed.explain).toBe("pack-size");
  expect(inspectReply(failed.state, report("0020unpack again\n"), null).explain).toBeNull();
  expect(inspectReply(FRESH_REPLY, report("0020unpack index-pack abnormal exit\n"), null).explain).toBe(
    "fsck",
  );
});
