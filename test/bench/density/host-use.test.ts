import { expect, test } from "vitest";
import { countRules, ownKibOf, programOf, usedPerContainer } from "./host-use.ts";

test("rules are counted, not tables, chains, sets and their elements", () => {
  const ruleset = `table inet berth { # handle 3
	set bridges { # handle 4
		type ifname
		elements = { "bn-1",
			     "bn-2" }
	}
	chain forward { # handle 9
		type filter hook forward priority filter - 10; policy accept;
		iifname @bridges jump from_container # handle 12
		oifname @ours counter packets 0 bytes 0 drop # handle 13
	}
}
table ip filter { # handle 20
	chain FORWARD { # handle 3
		 counter packets 5 bytes 300 jump BERTH # handle 30
	}
}`;
  expect(countRules(ruleset)).toBe(3);
});

test("memory of a process is its own and its share of what it shares, without pages of files", () => {
  const rollup = `55d0-7ffe ---p 00000000 00:00 0 [rollup]
Rss:               20196 kB
Pss:                9000 kB
Pss_Anon:           4012 kB
Pss_File:           4900 kB
Pss_Shmem:            88 kB
`;
  expect(ownKibOf(rollup)).toBe(4100);
});

test("a program is named by its file, and what runs a service by the service", () => {
  expect(programOf("/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0")).toBe("containerd-shim-runc-v2");
  expect(programOf("/opt/node\0--enable-source-maps\0/opt/berth/services/agent/src/main.ts\0")).toBe(
    "services/agent/src/main.ts",
  );
});

test("what a container brings is what its programs use more than before, the most first", () => {
  const before = new Map([
    ["dockerd", 10_000],
    ["sshd", 500],
  ]);
  const after = new Map([
    ["dockerd", 30_000],
    ["app", 90_000],
    ["sshd", 600],
  ]);
  expect(usedPerContainer(before, after, 2)).toEqual({
    bytes: 55_000,
    byProgram: { app: 45_000, dockerd: 10_000 },
  });
});
