import { NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { expect, test } from "vitest";
import { seenCable } from "../outbound/seen-cable.ts";
import { unitSpec } from "../testing/specs.ts";
import { etcFiles } from "./container-network.ts";
import { containerBody } from "./container-profile.ts";

const given = {
  ...{
    podId: "p",
    attempt: 1,
    imageReference: "r/i@sha256:1",
    argv: ["x"],
    seccomp: "{}",
    cgroupParent: null,
  },
  ...{ address: "10.128.0.7", networkName: "berth-env", resolver: "10.128.0.1" },
  ...{ etcFolder: "/e/job", secretsFolder: "/s/job", busyboxFolder: "/b" },
};

test("a container of runc has no network of the engine's, and the agent's files", () => {
  const body = containerBody(unitSpec(), given);
  expect(body).toMatchObject({ NetworkDisabled: true, Labels: { "berth.address": "10.128.0.7" } });
  const targets = body.HostConfig.Mounts.map(({ Source, Target }) => [Source, Target]);
  for (const name of ["hosts", "hostname", "resolv.conf"])
    expect(targets).toContainEqual([`/e/job/${name}`, `/etc/${name}`]);
  expect(body.HostConfig).not.toHaveProperty("Dns");
});

test("its own name is its address, and names are asked for at the gateway, without a search list", () => {
  const files = etcFiles({ ...given, hostname: "web-1" });
  expect(files.hosts).toContain("10.128.0.7\tweb-1\n");
  expect([files.hostname, files["resolv.conf"]]).toEqual(["web-1\n", "nameserver 10.128.0.1\n"]);
});

test("one of gVisor, which takes up what is there when it starts, is connected by the engine, at the same address", () => {
  const spec = unitSpec({ constraints: { ...NO_CONSTRAINTS, runtime: "runsc" } });
  const body = containerBody(spec, given);
  expect(body).not.toHaveProperty("NetworkDisabled");
  expect(body).toMatchObject({
    NetworkingConfig: { EndpointsConfig: { "berth-env": { IPAMConfig: { IPv4Address: "10.128.0.7" } } } },
    HostConfig: { NetworkMode: "berth-env", Dns: ["10.128.0.1"], DnsSearch: ["."], Runtime: "runsc" },
  });
  expect(body.Labels).not.toHaveProperty("berth.address");
  expect(body.HostConfig).not.toHaveProperty("Annotations");
});

test("few shims per environment, and none that two share", () => {
  const groups = (environmentId: string, count: number) =>
    new Set(
      Array.from({ length: count }, (_, n) => {
        const spec = unitSpec({ environmentId });
        const { HostConfig: host } = containerBody(spec, { ...given, address: `10.128.0.${n + 2}` });
        return JSON.stringify("Annotations" in host ? host.Annotations : null);
      }),
    );
  const [one, other] = [groups("env_1", 50), groups("env_2", 50)];
  expect([one.size, other.size, new Set([...one, ...other]).size]).toEqual([4, 4, 8]);
});

test("where the cable leads: by the label, or by what the engine says, also of one that does not run", () => {
  const endpoint = { IPAddress: "", MacAddress: "", IPAMConfig: { IPv4Address: "10.1.1.9" } };
  expect(seenCable("0123456789abc", { "berth.address": "10.1.1.8" }, {})).toEqual({
    ...{ address: "10.1.1.8", mac: "02:42:0a:01:01:08", device: "veth0123456789" },
  });
  expect(seenCable("a", {}, { n: endpoint })).toEqual({ address: "10.1.1.9", mac: null, device: null });
  expect(
    seenCable("a", {}, { n: { ...endpoint, IPAddress: "10.1.1.7", MacAddress: "02:42:0a:01:01:07" } }),
  ).toEqual({ address: "10.1.1.7", mac: "02:42:0a:01:01:07", device: null });
  expect(seenCable("a", {}, null)).toEqual({ address: null, mac: null, device: null });
});
