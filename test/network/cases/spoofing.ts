/**
 * A container that has raw sockets and all rights over its own network takes what is not its own: another instance's
 * address, the gateway's, another environment's, another MAC, ARP answers, IPv6 router advertisements. A witness in
 * another container, and the host, must hear nothing of it.
 */
import { command, tryCommand } from "@berth/infra/lab/command.ts";
import { type Finding, level } from "../../hosts/case.ts";
import { type Instance, instancesOf } from "../namespaces.ts";
import type { NetworkCase, NetworkStage } from "../network-case.ts";
import { askFrom, hearIn } from "../probe.ts";
import { flushed, guarded } from "./flushed-rules.ts";

const port = 9090;
const tries = 3;

export const spoofingCase: NetworkCase = {
  name: "spoofing",
  title: "a container with raw sockets takes other addresses and answers for others",
  run: async (stage, length) => {
    const { lab, apps } = stage;
    const { say } = stage;
    const [app, other] = apps;
    await app.scale(lab.lab.hosts.length + 1);
    try {
      const { attacker, witness, foreign } = await threeOf(stage);
      const given = { attacker, witness, foreign, far: await farOf(stage, attacker) };
      await guarded(attacker);
      const findings: Finding[] = [await honest(given)];
      for (const trick of length === "short" ? tricks.filter(({ what }) => quick.has(what)) : tricks) {
        const heard = await trick.play(given);
        say(`${trick.what}: ${heard === null ? "dropped" : heard}`);
        findings.push(level(trick.what, "dropped", heard === null, heard ?? "dropped"));
      }
      if (length === "full") findings.push(await afterwards(given), ...(await flushed(given)));
      say(
        `attacks came from ${attacker.address} of ${app.environment}; ${foreign.address} is of ${other.environment}`,
      );
      return findings;
    } finally {
      await app.scale(lab.lab.hosts.length);
    }
  },
};

interface Given {
  readonly attacker: Instance;
  /** Of the same environment, on the same bridge. */
  readonly witness: Instance;
  /** Of the other environment, on the same host. */
  readonly foreign: Instance;
  /** Of the same environment, on another host. */
  readonly far: Instance;
}

async function threeOf({ lab, apps }: NetworkStage) {
  const [app, other] = apps;
  const own = await instancesOf(lab.lab.hosts, `berth.service=${app.id}`);
  const [pair] = [...Map.groupBy(own, ({ host }) => host).values()].filter((list) => list.length > 1);
  const [attacker, witness] = pair ?? [];
  const foreign = (await instancesOf(lab.lab.hosts, `berth.service=${other.id}`)).find(
    ({ host }) => host === attacker?.host,
  );
  if (attacker === undefined || witness === undefined || foreign === undefined)
    throw new Error("no host has two instances of the one and one of the other environment");
  return { attacker, witness, foreign };
}

async function farOf({ lab, apps }: NetworkStage, attacker: Instance): Promise<Instance> {
  const own = await instancesOf(lab.lab.hosts, `berth.service=${apps[0].id}`);
  const far = own.find(({ host }) => host !== attacker.host);
  if (far === undefined) throw new Error("the app has no instance on another host");
  return far;
}

async function honest({ attacker, witness, far }: Given): Promise<Finding> {
  const asks = [witness, far].map(({ address }) => ({ kind: "tcp" as const, to: address, port: 8080 }));
  const answers = await askFrom(attacker.netns, asks, 5000);
  const what = "with its own address it reaches its neighbour and the other host";
  return level(
    what,
    "reached",
    answers.every(Boolean),
    answers.map((one) => (one ? "reached" : "no")).join(", "),
  );
}

async function afterwards(given: Given): Promise<Finding> {
  const { what, ...finding } = await honest(given);
  return { ...finding, what: `${what}, also after all of it` };
}

interface Trick {
  readonly what: string;
  /** @returns what was heard of it, null when nothing was */
  play(given: Given): Promise<string | null>;
}

const inside = ({ netns }: Instance, script: string): Promise<string> =>
  command(["nsenter", `--net=${netns}`, "sh", "-c", script]);

/** Sends datagrams from a taken address to a place that hears any. */
function fromTaken(what: string, taken: (given: Given) => string, to: (given: Given) => Instance): Trick {
  return {
    what,
    play: async (given) => {
      const { attacker } = given;
      const [source, target] = [taken(given), to(given)];
      const ear = await hearIn(target.netns, port);
      await inside(attacker, `ip address add ${source}/32 dev eth0`);
      try {
        const ask = { kind: "udp" as const, to: target.address, port, source };
        await askFrom(
          attacker.netns,
          Array.from({ length: tries }, () => ask),
          500,
        );
      } finally {
        await inside(attacker, `ip address delete ${source}/32 dev eth0`);
      }
      const heard = await ear.end();
      return heard.includes(source) ? `${target.address} heard it from ${source}` : null;
    },
  };
}

/** What a namespace believes of an address. */
async function macOf(netns: string, address: string): Promise<string> {
  const shown = await command([
    "nsenter",
    `--net=${netns}`,
    "ip",
    "-4",
    "neigh",
    "show",
    address,
    "dev",
    "eth0",
  ]);
  return /lladdr (\S+)/.exec(shown)?.[1] ?? "";
}

async function ownMac({ netns }: Instance): Promise<string> {
  const shown = await command(["nsenter", `--net=${netns}`, "ip", "-o", "link", "show", "dev", "eth0"]);
  return /link\/ether (\S+)/.exec(shown)?.[1] ?? "";
}

/** Gratuitous ARP for a taken address; the witness must not believe it. */
function arpFor(what: string, taken: (given: Given) => string): Trick {
  return {
    what,
    play: async ({ attacker, witness, ...rest }) => {
      const address = taken({ attacker, witness, ...rest });
      // The witness knows the right one, as any neighbour that talks does.
      await askFrom(witness.netns, [{ kind: "icmp", to: address, port: 0 }]);
      const before = await macOf(witness.netns, address);
      const announce = (how: string) =>
        `busybox arping ${how} -c ${tries} -w 4 -I eth0 -s ${address} ${address}`;
      await inside(attacker, `ip address add ${address}/32 dev eth0`);
      try {
        for (const how of ["-U", "-A"])
          await tryCommand(["nsenter", `--net=${attacker.netns}`, "sh", "-c", announce(how)]);
      } finally {
        await inside(attacker, `ip address delete ${address}/32 dev eth0`);
      }
      const after = await macOf(witness.netns, address);
      const mine = await ownMac(attacker);
      return after === mine && before !== mine
        ? `${witness.address} now sends what is for ${address} to ${mine}`
        : null;
    },
  };
}

const gatewayOf = ({ attacker }: Given): string => attacker.address.replace(/\d+$/, "1");

const theGateways = "ARP: answers for the gateway";
const theNeighbours = "its neighbour's address as source, to the other host";
const theMac = "another MAC, its neighbour's";
/** One of each kind, for a test. */
const quick: ReadonlySet<string> = new Set([theNeighbours, theGateways, theMac]);

export const tricks: readonly Trick[] = [
  fromTaken(
    theNeighbours,
    ({ witness }) => witness.address,
    ({ far }) => far,
  ),
  fromTaken(
    "the other host's instance's address as source",
    ({ far }) => far.address,
    ({ witness }) => witness,
  ),
  fromTaken("the gateway's address as source", gatewayOf, ({ witness }) => witness),
  fromTaken(
    "another environment's address as source, to it",
    ({ foreign }) => foreign.address,
    ({ foreign }) => foreign,
  ),
  fromTaken(
    "another environment's address as source",
    ({ foreign }) => foreign.address,
    ({ witness }) => witness,
  ),
  arpFor(theGateways, gatewayOf),
  arpFor("ARP: answers for an address of another host", ({ far }) => far.address),
  {
    what: theMac,
    play: async ({ attacker, witness, far }) => {
      const [mine, its] = [await ownMac(attacker), await ownMac(witness)];
      const change = (mac: string) =>
        `ip link set eth0 down; ip link set eth0 address ${mac}; ip link set eth0 up; ip route replace default via ${gatewayOf({ attacker, witness, far, foreign: far })}`;
      await inside(attacker, change(its));
      try {
        const asks = Array.from({ length: tries }, () => ({
          kind: "icmp" as const,
          to: far.address,
          port: 0,
        }));
        const answers = await askFrom(attacker.netns, asks);
        return answers.some(Boolean) ? `it reached ${far.address} as ${its}` : null;
      } finally {
        await inside(attacker, change(mine));
      }
    },
  },
  {
    what: "IPv6: neighbour discovery and everything else on the own bridge",
    play: async ({ attacker, witness }) => {
      const on = "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
      const off = "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
      const address = (n: number) => `fd00:be:ad::${n}`;
      await inside(attacker, `${on}; ip -6 address add ${address(1)}/64 dev eth0 nodad`);
      await inside(witness, `${on}; ip -6 address add ${address(2)}/64 dev eth0 nodad`);
      try {
        const [reached] = await askFrom(attacker.netns, [{ kind: "icmp", to: address(2), port: 0 }]);
        const known = await command([
          "nsenter",
          `--net=${witness.netns}`,
          "ip",
          "-6",
          "neigh",
          "show",
          "dev",
          "eth0",
        ]);
        if (reached) return "its neighbour answered over IPv6";
        return known.includes(address(1)) && known.includes("lladdr") ? "its neighbour learned of it" : null;
      } finally {
        await inside(attacker, off);
        await inside(witness, off);
      }
    },
  },
];
