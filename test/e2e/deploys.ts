/** Deploys that no push makes, and what surrounds a deploy. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { until } from "../git/until.ts";
import type { App, Customer } from "./customer.ts";
import type { E2eLab } from "./e2e-lab.ts";
import { get, getUntil, startLoad } from "./edge.ts";
import { dockerfileApp } from "./small-apps.ts";

interface Given {
  readonly lab: () => E2eLab;
  readonly customer: () => Customer;
}

const phased = {
  ...dockerfileApp,
  Dockerfile: `${dockerfileApp.Dockerfile ?? ""}COPY migrate.js ./\n`,
  Procfile: "web: node server.js\nrelease: node /srv/migrate.js\n",
  "migrate.js": `console.log("table made by", process.env.BERTH_RELEASE);
if (process.env.BREAK) {
  console.error("no such column");
  process.exit(3);
}
`,
  "berth.yaml":
    'cron:\n  report:\n    schedule: "0 0 1 * *"\n    command: echo report of $BERTH_RELEASE; exit 4\n',
};

export function describeDeploys({ lab, customer }: Given): void {
  describe("ready images", () => {
    test("pushed with a token for that one repository, an image is deployed without a build", async () => {
      const { docker } = lab().engine;
      const app = await customer().app("ready", dockerfileApp);
      const minted = JSON.parse(await customer().berth(["registry", "login", "ready", "--json"])) as {
        registry: string;
        repository: string;
      };
      const image = `${minted.registry}/${minted.repository}:v1`;
      await makeImage(docker, app, image);
      const config = join(customer().home, "docker");
      await customer().berth(["registry", "login", "ready", "--docker-config", config]);
      await docker("--config", config, "push", image);
      const other = `${minted.registry}/${minted.repository}x:v1`;
      await docker("tag", image, other);
      await expect(docker("--config", config, "push", other)).rejects.toThrow(/denied|unauthorized/);
      await docker("rmi", image, other);

      const deployed = await customer().tryBerth(["deploy", "ready", ":v1"]).ended;
      console.log(`=== a ready image\n${deployed.output}`);
      expect(deployed.code, deployed.output).toBe(0);
      await getUntil(lab().lab.host("h2").address, app.service.url, ({ body }) =>
        body.includes('"release":"v1"'),
      );
      expect(await customer().berth(["releases", "list", "ready"])).toContain(`image ${image}`);

      const wrong = await customer().tryBerth(["deploy", "ready", ":v2"]).ended;
      console.log(`=== an image that is not there\n${wrong.output}`);
      expect(wrong.code).toBe(1);
      expect(wrong.output).toMatch(/image-not-fetched.*there is no/);
      await customer().berth(["services", "rm", "ready", "--yes"]);
    });
  });
  describe("a count that follows its load", () => {
    test("requests in flight bring a second instance, and berth why says so", async () => {
      const scaled = await customer().app("busy", {
        ...dockerfileApp,
        "berth.yaml": "processes:\n  web:\n    autoscale: {min: 1, max: 2, requests: 3, cooldown: 10s}\n",
      });
      const pushed = await scaled.push();
      expect(pushed.code, pushed.output).toBe(0);
      const slow = new URL("/slow", scaled.service.url).href;
      let asking = true;
      const visitors = lab().lab.hosts.flatMap(({ address }) =>
        Array.from({ length: 4 }, async () => {
          const statuses: number[] = [];
          while (asking) statuses.push((await get(address, slow, 30_000)).status);
          return statuses;
        }),
      );
      await scaled.statusUntil(({ instances }) => instances.filter((one) => one.inRotation).length === 2);
      const why = await customer().berth(["why", "busy"]);
      console.log(`=== a count that follows its load\n${why}`);
      expect(why).toMatch(
        /web follows its load: 2 of 1 to 2 for .*requests in flight, 3 per instance, ask for/,
      );
      asking = false;
      expect(new Set((await Promise.all(visitors)).flat())).toEqual(new Set([200]));
      await customer().berth(["services", "rm", "busy", "--yes"]);
    });
  });
  describe("release phase, crons, commands", () => {
    let app: App;

    test("the release phase runs before anything of the release; one that fails leaves the old release serving", async () => {
      app = await customer().app("phased", phased);
      const pushed = await app.push();
      console.log(`=== a release phase\n${pushed.output}`);
      expect(pushed.code, pushed.output).toBe(0);
      expect(pushed.output).toMatch(
        /Release phase \(release\.1[\s\S]*table made by v1[\s\S]*Release phase ended well[\s\S]*web\.1 goes to/,
      );
      const load = startLoad(lab().lab.host("h1").address, app.service.url);
      const { deployId } = JSON.parse(
        await customer().berth(["vars", "set", "phased", "BREAK=yes", "--json"]),
      ) as { deployId: string };
      const bad = await customer().tryBerth(["deploys", "watch", deployId]).ended;
      console.log(`=== a release phase that fails\n${bad.output}`);
      expect(bad.code).toBe(1);
      expect(bad.output).toMatch(/release-failed[\s\S]*release ended with exit code 3[\s\S]*no such column/);
      const { instances } = await app.status();
      expect(instances.map(({ release }) => release)).toEqual([1]);
      expect((await load.stop()).failures).toEqual([]);
    });

    test("in maintenance every edge answers 503 and the instances keep running; its end is at once", async () => {
      const { url } = await customer().json("service", ["services", "show", "phased"]);
      const asked = () => Promise.all(lab().lab.hosts.map(({ address }) => get(address, url)));
      await customer().berth(["maintenance", "on", "phased"]);
      const down = await asked();
      expect(down.map(({ status }) => status)).toEqual([503, 503, 503]);
      expect(down[0]?.body).toContain("maintenance");
      const status = await customer().json("status", ["status", "phased"]);
      expect(status.instances).toMatchObject([{ ready: true, restartsCount: 0 }]);
      expect(status.service.maintenanceSince).not.toBeNull();
      await customer().berth(["maintenance", "off", "phased"]);
      expect((await asked()).map(({ status }) => status)).toEqual([200, 200, 200]);
    });

    test("a cron's missed instants are caught up once; a command runs once; both tell exit code and output", async () => {
      expect(await customer().berth(["cron", "list", "phased"])).toMatch(/report +0 0 1 \* \* UTC +in \d+/);
      const { id } = app.service;
      const counted = () =>
        lab().query<{ since: Date }>("select since from scheduler.crons where service_id = $1", [id]);
      await until("the cron to be known", async () => ((await counted()).length === 1 ? true : undefined));
      await lab().query(
        "update scheduler.crons set since = now() - interval '70 days' where service_id = $1",
        [id],
      );
      const history = async () => {
        const { tasks } = JSON.parse(
          await customer().berth(["cron", "history", "phased", "report", "--json"]),
        ) as {
          tasks: {
            state: string;
            exitCode: number | null;
            lastLines: string[];
            scheduledAtMs: number | null;
          }[];
        };
        return tasks;
      };
      const ended = await until("its run", async () => {
        const runs = await history();
        return runs.length > 0 && runs.every(({ state }) => state !== "running") ? runs : undefined;
      });
      expect(ended).toMatchObject([{ state: "failed", exitCode: 4, lastLines: ["report of v1"] }]);
      expect(ended[0]?.scheduledAtMs).not.toBeNull();

      const ran = await customer().tryBerth([
        "run",
        "phased",
        "--",
        "sh",
        "-c",
        "echo $BERTH_INSTANCE is here",
      ]).ended;
      console.log(`=== a command\n${ran.output}`);
      expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^run\.\d+ is here/) });
      const now = await customer().tryBerth(["cron", "run", "phased", "report"]).ended;
      console.log(`=== a cron now\n${now.output}`);
      expect(now.code).toBe(1);
      expect(now.output).toMatch(/report of v1[\s\S]*task-failed: cron ended with exit code 4/);
      expect((await history()).map(({ exitCode }) => exitCode)).toEqual([4, 4]);
      expect((await app.status()).instances.map(({ process }) => process)).toEqual(["web"]);
    });
  });
}

/** The same small app as everywhere, made beside Berth. */
async function makeImage(docker: E2eLab["engine"]["docker"], app: App, image: string): Promise<void> {
  const id = (await docker("create", "berth/stack:bookworm", "true")).trim();
  await docker("cp", join(app.dir, "server.js"), `${id}:/srv/server.js`);
  const changes = ['CMD ["node", "/srv/server.js"]', "EXPOSE 4000"].flatMap((change) => ["--change", change]);
  await docker("commit", ...changes, id, image);
  await docker("rm", id);
}
