/** Deploys that are stopped or overtaken, changes of size and variables, and the end of a service. */
import { beforeAll, describe, expect, test } from "vitest";
import { until } from "../git/until.ts";
import { type App, type Customer, deployIdIn, type Running } from "./customer.ts";
import type { E2eLab } from "./e2e-lab.ts";
import { get, getUntil, startLoad } from "./edge.ts";
import { containersOf, leftovers } from "./leftovers.ts";
import { dockerfileApp } from "./small-apps.ts";

interface Given {
  readonly lab: () => E2eLab;
  readonly customer: () => Customer;
}

const neverListens = { "server.js": 'console.log("thinking"); setInterval(() => {}, 1000);\n' };
const slowBuild = { Dockerfile: "FROM berth/stack:bookworm\nRUN sleep 50\n" };

export function describeChanges({ lab, customer }: Given): void {
  describe("changes", () => {
    let app: App;
    let goodCommit: string;

    beforeAll(async () => {
      app = await customer().app("steady", dockerfileApp);
      const pushed = await app.push();
      expect(pushed.code, pushed.output).toBe(0);
      goodCommit = pushed.commit;
    });

    const pushFromGood = async (files: Readonly<Record<string, string>>): Promise<Running> => {
      await app.customer.gitOk(app.dir, ["reset", "--quiet", "--hard", goodCommit]);
      await app.commit(files);
      return app.startPush("--force", "HEAD:refs/heads/main");
    };

    const expectServes = async (commit: string): Promise<void> => {
      await getUntil(
        lab().lab.host("h3").address,
        app.service.url,
        ({ status, body }) => status === 200 && body.includes(commit),
      );
    };

    test.each([
      ["while it builds", slowBuild, /building from|Dockerfile/i],
      ["while its app starts", neverListens, /: starting/],
    ])("a cancel %s: the push says so, the old release serves, nothing stays", async (_when, files, sign) => {
      const push = await pushFromGood(files);
      const deployId = await until(
        "the deploy to be that far",
        async () => (sign.test(push.output()) ? (deployIdIn(push.output()) ?? undefined) : undefined),
        60_000,
      );
      const cancelled = await customer().tryBerth(["deploys", "cancel", deployId]).ended;
      expect(cancelled.code, cancelled.output).toBe(0);
      const { output } = await push.ended;
      console.log(`=== a cancelled push\n${cancelled.output}${output}`);
      expect(output).toMatch(/deploy cancelled/);
      expect(output).toMatch(/Next: /);
      expect(await containersOf(lab(), deployId)).toEqual([]);
      await expectServes(goodCommit);
      const again = await customer().tryBerth(["deploys", "cancel", deployId]).ended;
      console.log(`=== a second cancel\n${again.output}`);
      expect(again.output).toMatch(/cancelled/);
    });

    test("of three pushes in a row the last wins; one that is overtaken ends at once and says so", async () => {
      const first = await pushFromGood(slowBuild);
      const deployId = await until("its deploy", async () => deployIdIn(first.output()) ?? undefined);
      const load = startLoad(lab().lab.host("h1").address, app.service.url);
      const second = await pushFromGood({ "note.txt": "the second one\n" });
      await until("its deploy", async () => deployIdIn(second.output()) ?? undefined);
      const third = await pushFromGood({ "note.txt": "the third one\n" });
      const [{ output }, , later] = await Promise.all([first.ended, second.ended, third.ended]);
      console.log(`=== an overtaken push\n${output}`);
      expect(output).toMatch(/superseded/);
      expect(later.code, later.output).toBe(0);
      goodCommit = await app.customer.gitOk(app.dir, ["rev-parse", "HEAD"]);
      await expectServes(goodCommit);
      expect(await containersOf(lab(), deployId)).toEqual([]);
      expect((await load.stop()).failures).toEqual([]);
    });

    test("changed variables come with new containers, and no request fails meanwhile", async () => {
      const before = (await app.status()).instances.map(({ jobId }) => jobId);
      const load = startLoad(lab().lab.host("h1").address, app.service.url);
      const reply = JSON.parse(
        await customer().berth(["vars", "set", "steady", "COLOUR=blue", "--json"]),
      ) as {
        deployId: string;
      };
      const watched = await customer().tryBerth(["deploys", "watch", reply.deployId]).ended;
      expect(watched.code, watched.output).toBe(0);
      const { instances } = await app.statusUntil(
        ({ instances }) => instances.length === 1 && instances[0]?.ready === true,
      );
      expect(before).not.toContain(instances[0]?.jobId);
      const told = await load.stop();
      console.log(`requests while variables changed: ${told.count}`);
      expect(told.failures).toEqual([]);
    });

    test("a rollback brings back image and variables without a build; a restart replaces what runs", async () => {
      const hash = new URL("/environment-hash?name=COLOUR", app.service.url).href;
      const h1 = lab().lab.host("h1").address;
      expect((await get(h1, hash)).body).not.toBe("not set");
      const load = startLoad(h1, app.service.url);
      const orderedAtMs = Date.now();
      const serving = getUntil(h1, hash, ({ body }) => body === "not set", 60_000).then(() => Date.now());
      const back = await customer().tryBerth(["rollback", "steady"]).ended;
      console.log(`=== a rollback\n${back.output}`);
      expect(back.code, back.output).toBe(0);
      console.log(`from the order to roll back to serving: ${(await serving) - orderedAtMs} ms`);
      const before = (await app.status()).instances.filter((one) => one.inRotation).map(({ jobId }) => jobId);
      const restarted = await customer().tryBerth(["restart", "steady", "web"]).ended;
      console.log(`=== a restart\n${restarted.output}`);
      expect(restarted.code, restarted.output).toBe(0);
      const { instances } = await app.statusUntil(({ instances }) => instances.length === 1);
      expect(before).not.toContain(instances[0]?.jobId);
      expect((await load.stop()).failures).toEqual([]);
      const listed = await customer().berth(["releases", "list", "steady"]);
      expect(listed).toContain("rollback to v");
    });

    test("scaled down, the surplus drains: requests that are under way end well", async () => {
      await customer().berth(["scale", "steady", "web=3"]);
      await app.statusUntil(({ instances }) => instances.filter((one) => one.inRotation).length === 3);
      const slow = new URL("/slow", app.service.url).href;
      const load = startLoad(lab().lab.host("h2").address, app.service.url);
      const underWay = lab().lab.hosts.flatMap(({ address }) =>
        Array.from({ length: 3 }, () => get(address, slow, 10_000)),
      );
      await customer().berth(["scale", "steady", "web=1"]);
      expect((await Promise.all(underWay)).map(({ status }) => status)).toEqual(underWay.map(() => 200));
      await app.statusUntil(({ instances }) => instances.length === 1);
      expect((await load.stop()).failures).toEqual([]);
    });

    test("a removed service leaves no container, no route and no variable", async () => {
      const { id, url } = app.service;
      await customer().berth(["services", "rm", "steady", "--yes"]);
      await until(
        "the removal",
        async () => ((await remains(lab(), id)).length === 0 ? true : undefined),
        30_000,
      ).catch(() => undefined);
      expect(await remains(lab(), id)).toEqual([]);
      for (const { address } of lab().lab.hosts) expect((await get(address, url)).status).toBe(404);
      const push = await customer().git(app.dir, ["push", "berth", "HEAD:refs/heads/main"]).ended;
      console.log(`=== a push to a removed service\n${push.output}`);
      expect(push.code).not.toBe(0);
      expect(await leftovers(lab())).toEqual([]);
    });
  });
}

/** What `services rm` says that it removes, and is still there: containers, routes and variables. */
async function remains(lab: E2eLab, serviceId: string): Promise<string[]> {
  const found: string[] = [];
  for (const { name } of lab.lab.hosts) {
    const filter = `label=berth.service=${serviceId}`;
    const names = await lab.docker(name, "ps", "--all", "--filter", filter, "--format", "{{.Names}}");
    if (names.trim() !== "") found.push(`containers on ${name}: ${names}`);
  }
  const secrets = await lab.query("select 1 from secrets.variable_sets where service_id = $1", [serviceId]);
  if (secrets.length > 0) found.push(`${secrets.length} sealed variable sets`);
  const tables = await lab.query(
    "select 1 from router.route_tables where sites::text like '%' || $1 || '%'",
    [serviceId],
  );
  if (tables.length > 0) found.push("a route");
  return found;
}
