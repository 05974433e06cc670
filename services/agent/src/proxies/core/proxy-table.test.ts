import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { expect, test } from "vitest";
import { libraries } from "../shell/proxy-image.ts";
import { proxyBody, proxyForm } from "./proxy-container.ts";
import { proxiedNames, proxyAddresses, proxyTable } from "./proxy-table.ts";

const site = (hostname: string, tls?: object, more = {}) => ({
  ...{ hostname, serviceId: "svc", backends: [], ...more },
  ...(tls === undefined ? {} : { tls: { certificateId: `crt_${hostname}`, name: hostname, ...tls } }),
});
const table = {
  ...{ environmentId: "env_a", version: 3, proxies: [{ hostId: "hst_1", address: "10.0.0.9", port: 1 }] },
  sites: [
    site("plain.x"),
    site("pod.x", {}),
    site("own.x", { proxied: true }, { httpsOnly: true, allow: ["10.0.0.0/8"] }),
  ],
} as unknown as RouteTable;

test("a proxy serves the sites with the environment's own certificates, and nothing of the others", () => {
  expect(proxiedNames(table)).toEqual(["own.x"]);
  expect(proxyTable(table)).toEqual({
    ...{ environmentId: "env_a", version: 3 },
    sites: [site("own.x", {}, { allow: ["10.0.0.0/8"] })],
  });
});

test("its address is one of the last of the host's part, never the broadcast's", () => {
  expect(proxyAddresses("10.1.2.0/24").slice(0, 2)).toEqual(["10.1.2.254", "10.1.2.253"]);
  expect(proxyAddresses("10.1.2.0/24")).toHaveLength(16);
  expect(proxyAddresses("10.1.2.64/28")).toEqual(["10.1.2.78", "10.1.2.77", "10.1.2.76", "10.1.2.75"]);
});

test("its container has no capability, no root, nothing to write but one folder, and limits", () => {
  const given = {
    ...{ podId: "pod", environmentId: "env_a", image: "berth-proxy:1", dir: "/h/p/a", heldDir: "/h/d/env_a" },
    ...{ networkName: "berth-env_a", address: "10.1.2.254", seccomp: "{}", cgroupParent: null },
  };
  const { HostConfig: host, User: user } = proxyBody(given, "a");
  expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(host).toMatchObject({ CapDrop: ["ALL"], ReadonlyRootfs: true, Privileged: false, PidsLimit: 32 });
  expect(host).not.toHaveProperty("CapAdd");
  expect(host.Mounts.filter(({ ReadOnly }) => !ReadOnly).map(({ Target }) => Target)).toEqual(["/h/p/a/run"]);
  expect(proxyForm({ ...given, image: "berth-proxy:2" })).not.toBe(proxyForm(given));
});

test("the image has what the dynamic loader names; one that is missing is an error", () => {
  const printed = `\tlinux-vdso.so.1 (0x00007ffe)
\tlibcrypt.so.1 => /lib/x86_64-linux-gnu/libcrypt.so.1 (0x00007f1)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n`;
  expect(libraries(printed)).toEqual(["/lib/x86_64-linux-gnu/libcrypt.so.1", "/lib64/ld-linux-x86-64.so.2"]);
  expect(() => libraries("\tlibssl.so.3 => not found\n")).toThrow("libssl.so.3");
});
