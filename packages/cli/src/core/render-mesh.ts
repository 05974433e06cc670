/**
 * The tunnels of an environment as a picture of text: a row and a column per host, and in each field how the tunnel
 * from the row's host to the column's is: its latency, what it loses, or that it carries nothing.
 *
 *           h1           h2           h3
 *   h1      -            0.4 ms       1.2 ms -10%
 *   h2      0.4 ms       -            DOWN
 *   h3      1.3 ms       DOWN         -
 */
export interface MeshHost {
  readonly name: string;
  readonly tunnels: readonly {
    readonly to: string;
    readonly state: "up" | "starting" | "stalled" | "resting";
    readonly latencyMs: number | null;
    readonly sentCount: number;
    readonly lostCount: number;
  }[];
}

/** `none`: nothing to say of it. */
export type Mood = "well" | "weak" | "down" | "none";

interface Field {
  readonly text: string;
  readonly mood: Mood;
}

const MOST_HOSTS = 20;
const LEAST_WIDTH = 8;
const GAP = 2;

/**
 * @param paint makes a field's text stand out; what it returns is as wide on the screen
 * @returns its lines; none for a single host, or for more than fit on a screen
 */
export function renderMesh(
  hosts: readonly MeshHost[],
  paint: (text: string, mood: Mood) => string = (text) => text,
): string[] {
  if (hosts.length < 2 || hosts.length > MOST_HOSTS) return [];
  const heads = hosts.map(({ name }) => ({ text: name, mood: "none" as const }));
  const rows = hosts.map((host, i) => [heads[i] ?? NOTHING, ...hosts.map(({ name }) => field(host, name))]);
  const table = [[NOTHING, ...heads], ...rows];
  const width = Math.max(LEAST_WIDTH, ...table.flat().map(({ text }) => text.length + GAP));
  return table.map((row) => {
    // What is last in its line needs no room behind it.
    const cells = row.map(({ text, mood }, i) => ({
      shown: paint(text, mood),
      room: i === row.length - 1 ? 0 : width - text.length,
    }));
    return cells.map(({ shown, room }) => shown + " ".repeat(room)).join("");
  });
}

const NOTHING: Field = { text: "", mood: "none" };

function field(host: MeshHost, to: string): Field {
  if (host.name === to) return { text: "-", mood: "none" };
  const tunnel = host.tunnels.find((one) => one.to === to);
  if (tunnel === undefined) return { text: "?", mood: "none" };
  if (tunnel.state === "starting") return { text: "starting", mood: "weak" };
  if (tunnel.state === "resting") return { text: "resting", mood: "none" };
  if (tunnel.state === "stalled") return { text: "DOWN", mood: "down" };
  const { latencyMs, lostCount, sentCount } = tunnel;
  const lostPercent = sentCount === 0 ? 0 : Math.round((lostCount / sentCount) * 100);
  const latency = latencyMs === null ? "ok" : `${latencyMs.toFixed(1)} ms`;
  return lostPercent === 0
    ? { text: latency, mood: "well" }
    : { text: `${latency} -${lostPercent}%`, mood: "weak" };
}
