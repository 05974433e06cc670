/** A container's connection that is made first and asks later: what a policy does to it in between. */
import { until } from "../git/until.ts";
import type { NetworkApp, NetworkLab } from "./network-lab.ts";

const openTimeoutMs = 60_000;

/** What is answered to a request on a connection that stood before `meanwhile`, and asks after it. */
export async function askOnOpenConnection(
  lab: NetworkLab,
  host: string,
  app: NetworkApp,
  target: string,
  meanwhile: () => Promise<unknown>,
): Promise<string> {
  const wait = "until [ -e /tmp/go ]; do /bin/busybox sleep 0.1; done";
  const asked = "printf 'GET /version?linked HTTP/1.0\\r\\n\\r\\n'; /bin/busybox sleep 1";
  const connection = `echo $$ >/tmp/asker; exec /bin/busybox nc ${target} 8080`;
  await lab.inside(host, app, "/bin/busybox rm -f /tmp/go");
  const answer = lab.inside(
    host,
    app,
    `(${wait}; ${asked}; kill $(/bin/busybox cat /tmp/asker)) | /bin/busybox sh -c '${connection}'`,
  );
  await until(
    "an open connection",
    async () => {
      const open = await lab.inside(host, app, "/bin/busybox netstat -tn");
      return open.includes(`${target}:8080`) && open.includes("ESTABLISHED") ? true : undefined;
    },
    openTimeoutMs,
  );
  await meanwhile();
  await lab.inside(host, app, ": > /tmp/go");
  return (await answer).replaceAll("Terminated", "").trim();
}
