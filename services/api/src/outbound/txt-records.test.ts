import { createSocket } from "node:dgram";
import { once } from "node:events";
import { DnsServer } from "@berth/shared/testing/dns-server.ts";
import { expect, test } from "vitest";
import { createTxtRecords } from "./txt-records.ts";

test("TXT records of a name server: found, absent, and no answer within the deadline", async () => {
  const dns = await DnsServer.start();
  const silent = createSocket("udp4").bind(0, "127.0.0.1");
  await once(silent, "listening");
  try {
    dns.txt.set("_berth.example.com", ["v=spf1 -all", "berth-verify=abc"]);
    const txt = createTxtRecords({ servers: [dns.address], timeoutMs: 5000 });
    expect(await txt.lookUp("_berth.example.com")).toEqual({
      ...{ kind: "found", values: ["v=spf1 -all", "berth-verify=abc"] },
    });
    expect(await txt.lookUp("_berth.example.org")).toEqual({ kind: "none" });
    const mute = createTxtRecords({ servers: [`127.0.0.1:${silent.address().port}`], timeoutMs: 200 });
    expect(await mute.lookUp("_berth.example.com")).toMatchObject({ kind: "failed" });
    const many = await Promise.all(Array.from({ length: 30 }, () => mute.lookUp("_berth.example.com")));
    expect(many.filter(({ kind }) => kind === "busy")).toHaveLength(10);
  } finally {
    silent.close();
    await dns.close();
  }
});
