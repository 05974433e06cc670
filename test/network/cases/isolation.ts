/** Every pair of containers in every direction, and everything around them. */
import { level } from "../../hosts/case.ts";
import { isolation, matrixLines, violations } from "../isolation.ts";
import type { NetworkCase } from "../network-case.ts";

const shown = 5;
const mostTold = 30;

export const isolationCase: NetworkCase = {
  name: "isolation",
  title: "all pairs of containers of two environments, hosts, control plane and the world: who reaches whom",
  run: async ({ lab, apps, say }) => {
    const answered = await isolation(lab, apps);
    for (const line of matrixLines(answered)) say(line);
    for (const line of violations(answered).slice(0, mostTold)) say(line);
    const groups = [
      ["inside of an environment", answered.filter(({ reached, group }) => reached && group !== "outside")],
      ["across environments, to hosts, control plane, metadata", answered.filter(({ reached }) => !reached)],
      ["to the internet", answered.filter(({ reached, group }) => reached && group === "outside")],
    ] as const;
    return groups.map(([what, rows]) => {
      const mine = violations(rows);
      const promise = rows[0]?.reached === true ? "all reached" : "nothing reached";
      const first = mine.length === 0 ? "" : `, of them ${mine.slice(0, shown).join("; ")}`;
      return level(
        what,
        promise,
        mine.length === 0 && rows.length > 0,
        `${rows.length} asked, ${mine.length} wrong${first}`,
      );
    });
  },
};
