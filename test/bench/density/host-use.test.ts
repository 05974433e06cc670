import { expect, test } from "vitest";
import { countRules, ownKibOf } from "./host-use.ts";

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
