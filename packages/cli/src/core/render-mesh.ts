/**
 * The tunnels of an environment as a picture of text: a row and a column per host, and in each field how the tunnel
 * from the row's host to the column's is.
 *
 *          h1     h2     h3
 *   h1     ·      ok     ok
 *   h2     ok     ·      DOWN
 *   h3     ok     DOWN   ·
 */
export interface MeshHost {
  readonly name: string;
  readonly tunnels: readonly {
    readonly to: string;
    readonly state: "up" | "starting" | "stalled";
    readonly sentCount: number;
    readonly lostCount: number;
  }[];
}

const MOST_HOSTS = 20;

/** @returns its lines; none for a single host, or for more than fit on a screen */
export function renderMesh(hosts: readonly MeshHost[]): string[] {
  if (hosts.length < 2 || hosts.length > MOST_HOSTS) return [];
  const width = Math.max(8, ...hosts.map(({ name }) => name.length + 2));
  const line = (head: string, cells: readonly string[]) =>
    [head, ...cells]
      .map((cell) => cell.padEnd(width))
      .join("")
      .trimEnd();
  const names = hosts.map(({ name }) => name);
  return [
    line("", names),
    ...hosts.map((host) =>
      line(
        host.name,
        names.map((to) => field(host, to)),
      ),
    ),
  ];
}

function field(host: MeshHost, to: string): string {
  if (host.name === to) return "·";
  const tunnel = host.tunnels.find((one) => one.to === to);
  if (tunnel === undefined) return "?";
  if (tunnel.state !== "up") return tunnel.state === "starting" ? "…" : "DOWN";
  const lostPercent = tunnel.sentCount === 0 ? 0 : Math.round((tunnel.lostCount / tunnel.sentCount) * 100);
  return lostPercent === 0 ? "ok" : `-${lostPercent}%`;
}
