/** A person's ways into an environment: `berth tunnel`, and a machine in its network that reaches nothing else. */
import { join } from "node:path";
import { labNames } from "@berth/infra/lab/lab-names.ts";
import { expect } from "vitest";
import { until } from "../git/until.ts";
import type { NetworkApp, NetworkLab } from "./network-lab.ts";
import { startPersonMachine } from "./person-machine.ts";

export async function personReachesNothingElse(given: {
  readonly lab: NetworkLab;
  /** Of the environment that the person is in, and of another one; both have an instance on h1 and on h2. */
  readonly shop: NetworkApp;
  readonly bank: NetworkApp;
  readonly addressOn: (host: string, app: NetworkApp) => Promise<string>;
  readonly stateDir: string;
  readonly index: number;
}): Promise<void> {
  const { lab, shop, bank, addressOn, stateDir, index } = given;
  const env = ["--env", `acme/${shop.environment}`];
  const { bridge } = labNames(stateDir, index);
  const person = await startPersonMachine({
    ...{ bridge, address: `10.99.${index}.77/24`, toolsDir: join(stateDir, "tools") },
  });
  const fetched = async (target: string, port = 8080) => {
    const request = "printf 'GET /version HTTP/1.0\\r\\n\\r\\n'";
    const answer = await person.run(`${request} | timeout 3 busybox nc ${target} ${port}`);
    return /\r\n\r\n(.*)/s.exec(answer)?.[1]?.trim() ?? "";
  };
  const named = (name: string, resolver: string) =>
    person.run(`timeout 5 busybox nslookup ${name} ${resolver}`);
  const own = `${shop.environment}-shop`;
  try {
    const words = ["network", "peer", "add", "--name", "laptop", "--expires", "1h"];
    const config = await lab.berthEnds([...words, ...env]);
    await person.configure(config);
    const [near, far] = [await addressOn("h1", shop), await addressOn("h2", shop)];
    const [foreign, resolver] = [await addressOn("h1", bank), near.replace(/\d+$/, "1")];
    for (const address of [near, far])
      await until(
        "the person's way in",
        async () => ((await fetched(address)) === own ? true : undefined),
        30_000,
      );
    const answer = await named("shop.internal", resolver);
    for (const address of [near, far]) expect(answer).toContain(address);
    expect(await named("bank.internal", resolver)).toContain("NXDOMAIN");
    // It asks, and answers nobody, not even a container that it may ask.
    const its = /^Address = (.*)\/32$/m.exec(config)?.[1] ?? "";
    await person.run("(while echo open | busybox nc -l -p 9999; do :; done) > /dev/null 2>&1 &");
    const knock = (command: string) => `${command} timeout 2 ${command} nc`;
    expect(await lab.inside("h1", shop, `${knock("/bin/busybox")} ${its} 9999 < /dev/null`)).not.toContain(
      "open",
    );
    await until("the listener", async () =>
      (await person.run(`${knock("busybox")} 127.0.0.1 9999 < /dev/null`)).includes("open")
        ? true
        : undefined,
    );
    // A machine that asks for more than it was given: all of the pod's addresses by way of one host.
    const [head = "", first = ""] = config.split("[Peer]");
    const greedy = first.replace(/^AllowedIPs = .*$/m, "AllowedIPs = 10.128.0.0/10, 10.127.0.0/16");
    await person.configure(`${head}[Peer]${greedy}`);
    await until("the host", async () => ((await fetched(near)) === own ? true : undefined), 30_000);
    const others = [fetched(foreign), fetched(resolver, 8000), fetched("10.127.1.1", 8000), fetched(far)];
    expect(await Promise.all(others)).toEqual(["", "", "", ""]);
    expect(await named("bank.internal", foreign.replace(/\d+$/, "1"))).not.toContain(foreign);
    await lab.berthEnds(["network", "peer", "rm", "laptop", ...env]);
    await until(
      "the person's way to be shut",
      async () => ((await fetched(near)) === "" ? true : undefined),
      30_000,
    );
    const people = (host: string) =>
      lab.on(host, "wg show all allowed-ips | grep '10\\.128\\.[0-9]*\\.[0-9]*/32'");
    for (const host of ["h1", "h2"])
      await until(`no peer on ${host}`, async () => ((await people(host)) === "" ? true : undefined), 30_000);
  } finally {
    await person.close();
  }
}

export async function tunnelReachesInstance(lab: NetworkLab, shop: NetworkApp): Promise<void> {
  const tunnel = lab.berth(["tunnel", "shop", "--env", `acme/${shop.environment}`, "--json"]);
  try {
    const port = await until("the tunnel to listen", async () => /"port":(\d+)/.exec(tunnel.out())?.[1]);
    const answer = await fetch(`http://127.0.0.1:${port}/version`);
    expect((await answer.text()).trim()).toBe(`${shop.environment}-shop`);
  } finally {
    tunnel.child.kill("SIGTERM");
  }
}
