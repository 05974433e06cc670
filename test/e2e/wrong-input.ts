/**
 * Wrong input of every kind, against one service that has a good release. Each gets a message in the push that says
 * what, why and what next; the good release keeps serving; nothing is left behind.
 */
import { createHash, randomBytes } from "node:crypto";
import { newId } from "@berth/shared/kit/ids.ts";
import { beforeAll, describe, expect, test } from "vitest";
import { until } from "../git/until.ts";
import type { App, Customer, Pushed } from "./customer.ts";
import { buildTimeoutMs, type E2eLab, readinessDeadlineMs } from "./e2e-lab.ts";
import { get, getUntil, startLoad } from "./edge.ts";
import { containersOf, leftovers } from "./leftovers.ts";
import { dockerfileApp, hangingApp } from "./small-apps.ts";

type Changes = Readonly<Record<string, string | null>>;

interface BadPush {
  readonly what: string;
  /** On top of the good app. */
  readonly files: Changes;
  /** Each must be found in what the pusher reads. */
  readonly says: readonly RegExp[];
  /** It builds, and its deploy fails: what the app printed last is in the push and in `deploys show`. */
  readonly prints?: RegExp;
}

const noDockerfile = { Dockerfile: null, "package.json": null, Procfile: null };
const from = "FROM berth/stack:bookworm\n";
const asProcfile = { Dockerfile: null, "package.json": '{ "name": "bad", "version": "1.0.0" }\n' };

const badPushes: readonly BadPush[] = [
  {
    what: "no buildpack matches",
    files: { ...noDockerfile, "server.js": null, "main.zig": "pub fn main() void {}\n" },
    says: [/no-buildpack/, /main\.zig/, /Add one of: Dockerfile/],
  },
  {
    what: "a broken Dockerfile",
    files: { Dockerfile: `${from}RUNN make\n` },
    says: [/Dockerfile/, /line 2|:2/, /RUNN/],
  },
  {
    what: "a build that exits non-zero",
    files: { Dockerfile: `${from}RUN echo nothing to link >&2; exit 7\n` },
    says: [/build-command-failed/, /nothing to link/, /exit code:? 7/, /push again/],
  },
  {
    what: "a build that prints without end",
    files: {
      ...asProcfile,
      "package.json":
        '{ "name": "bad", "version": "1.0.0", "scripts": { "build": "yes all work and no play" } }\n',
      Procfile: "web: node server.js\n",
    },
    says: [/build-output-limit/, /1 MiB/, /print less/],
  },
  {
    what: "a Procfile without web",
    files: { ...asProcfile, Procfile: "worker: node server.js\n" },
    says: [/no-web-process/, /worker/, /web: /],
  },
  {
    what: "a Procfile that is none",
    files: { ...asProcfile, Procfile: "web: node server.js\nthis is no process\n" },
    says: [/procfile-invalid/, /Procfile:2/],
  },
  {
    what: "an app that never listens",
    prints: /thinking/,
    files: {
      "server.js": 'console.log("thinking"); setInterval(() => {}, 1000);\n',
    },
    says: [/never-listened/, new RegExp(`${readinessDeadlineMs / 1000} s`), /PORT/],
  },
  {
    what: "an app that crashes at once",
    prints: /no such database: shop/,
    files: { "server.js": 'throw new Error("no such database: shop");\n' },
    says: [/crashed/, /exit code 1/, /berth logs/],
  },
  {
    what: "an app whose health check fails",
    prints: /not well: no disk/,
    files: {
      "server.js": `require("node:http").createServer((request, response) => {
  if (request.url === "/up") console.log("not well: no disk");
  response.writeHead(500).end();
}).listen(Number(process.env.PORT));
`,
      "berth.yaml": "processes:\n  web: {health: /up, start-deadline: 4s}\n",
    },
    says: [/never-listened/, /\/up/, /2xx or 3xx/],
  },
  {
    what: "an app that flaps: it listens, and ends a moment later",
    prints: /lost my database/,
    files: {
      "server.js": `require("node:http").createServer((request, response) => response.end("new")).listen(Number(process.env.PORT));
setTimeout(() => { throw new Error("lost my database"); }, 700);
`,
      "berth.yaml": "processes:\n  web: {min-ready: 3s}\n",
    },
    says: [/crashed 3 times/, /exit code 1/],
  },
];

export function describeWrongInput(given: { lab: () => E2eLab; customer: () => Customer }): void {
  describe("wrong input", () => {
    let app: App;
    let url: string;
    let goodCommit: string;
    let slow: Promise<Pushed>;

    beforeAll(async () => {
      app = await given.customer().app("old", dockerfileApp);
      url = app.service.url;
      const pushed = await app.push();
      expect(pushed.code, pushed.output).toBe(0);
      goodCommit = pushed.commit;
    });

    async function expectOldServes(): Promise<void> {
      const answer = await getUntil(
        given.lab().lab.host("h2").address,
        url,
        ({ status }) => status === 200,
        5000,
      );
      expect(JSON.parse(answer.body)).toMatchObject({ commit: goodCommit });
    }

    /** Back on the good commit, so that the next push is again one change away from it. */
    async function pushBad(files: Changes): Promise<Pushed> {
      await app.customer.gitOk(app.dir, ["reset", "--quiet", "--hard", goodCommit]);
      await app.commit(files);
      const commit = await app.customer.gitOk(app.dir, ["rev-parse", "HEAD"]);
      const ended = await app.startPush("--force", "HEAD:refs/heads/main").ended;
      return { ...ended, commit, deployId: /dep_[0-9a-z]+/.exec(ended.output)?.[0] ?? null };
    }

    test("a build that hangs is started beside the others", async () => {
      // With buildpacks: on engines before 23 a Dockerfile that hangs would hold up those that come next.
      const other = await given.customer().app("slow", hangingApp);
      slow = other.push();
    });

    // First: a change of size takes the newest release, which must still be the good one.
    test("more RAM than any host has", async () => {
      const before = await app.status();
      const { deployId } = JSON.parse(
        await app.customer.berth(["scale", "old", "web=1", "--memory", "40GB", "--json"]),
      ) as { deployId: string };
      const watched = await app.customer.tryBerth(["deploys", "watch", deployId]).ended;
      console.log(`=== more RAM than any host has\n${watched.output}`);
      expect(watched.code).toBe(1);
      expect(watched.output).toMatch(/unplaceable/);
      expect(watched.output).toMatch(/40(\.0)? G/);
      expect(watched.output).toMatch(/berth why/);
      await expectOldServes();
      expect(await containersOf(given.lab(), deployId)).toEqual([]);
      const bytes = before.service.processes[0]?.memoryBytes;
      const reset = JSON.parse(
        await app.customer.berth(["scale", "old", "web=1", "--memory", `${bytes}B`, "--json"]),
      ) as { deployId: string | null };
      if (reset.deployId !== null) await app.customer.berth(["deploys", "watch", reset.deployId]);
    });

    for (const bad of badPushes) {
      test(bad.what, async () => {
        const { prints } = bad;
        const load = prints === undefined ? null : startLoad(given.lab().lab.host("h1").address, url);
        const pushed = await pushBad(bad.files);
        console.log(`=== ${bad.what}\n${pushed.output}`);
        for (const pattern of [...bad.says, ...(prints === undefined ? [] : [prints])])
          expect(pushed.output).toMatch(pattern);
        await expectOldServes();
        const deployId = pushed.deployId ?? "";
        expect(deployId).not.toBe("");
        await until("its containers to be gone", async () =>
          (await containersOf(given.lab(), deployId)).length === 0 ? true : undefined,
        );
        const { deploy } = await app.customer.json("deploy", ["deploys", "show", deployId]);
        expect(deploy).toMatchObject({ state: "failed", final: true });
        if (load === null || prints === undefined) return;
        const { count, failures } = await load.stop();
        console.log(`requests meanwhile: ${count}, failed: ${failures.length}`);
        expect(failures).toEqual([]);
        const shown = await app.customer.berth(["deploys", "show", deployId]);
        expect(shown).toMatch(bad.says[0] as RegExp);
        expect(shown).toMatch(prints);
        expect((await app.customer.tryBerth(["deploys", "watch", deployId]).ended).code).toBe(1);
      });
    }

    test("pushes that are refused before anything is checked out", async () => {
      const { customer, dir } = app;
      await customer.gitOk(dir, ["reset", "--quiet", "--hard", goodCommit]);
      const refused = async (what: string, args: string[], says: readonly RegExp[]): Promise<void> => {
        const { code, output } = await customer.git(dir, args).ended;
        console.log(`=== ${what}\n${output}`);
        expect(code, output).not.toBe(0);
        for (const pattern of says) expect(output).toMatch(pattern);
      };
      await refused(
        "a ref named like an option",
        ["push", "berth", "HEAD:refs/heads/--upload-pack=touch"],
        [/push-ref-name/, /not starting with '-'/],
      );
      const bomb = await makeBomb(app);
      await refused(
        "a tree with a million entries",
        ["push", "--force", "berth", `${bomb}:refs/heads/main`],
        [/push-tree-entries/, /100,?000/, /node_modules/],
      );
      await refused(
        "the removal of the deploy branch",
        ["push", "berth", ":refs/heads/main"],
        [/Push refused/, /cannot be deleted/, /services rm/],
      );
      const empty = await customer.gitOk(dir, ["hash-object", "-t", "tree", "-w", "--stdin"], { input: "" });
      const commit = await customer.gitOk(dir, ["commit-tree", empty, "-m", "nothing"]);
      const pushed = await customer.git(dir, ["push", "--force", "berth", `${commit}:refs/heads/main`]).ended;
      console.log(`=== an empty repository\n${pushed.output}`);
      expect(pushed.output).toMatch(/Next: |Add one of/);
      await expectOldServes();
    });

    test("an unknown service, and an expired token", async () => {
      const { customer, dir, service } = app;
      const unknown = service.gitUrl.replace("/old", "/nothere");
      const push = await customer.git(dir, ["push", unknown, "main"]).ended;
      console.log(`=== git push to an unknown service\n${push.output}`);
      expect(push.code).not.toBe(0);
      expect(push.output).toMatch(/nothere/);
      const status = await customer.tryBerth(["status", "nothere"]).ended;
      console.log(`=== berth status nothere\n${status.output}`);
      expect(status.code).toBe(4);
      expect(status.output).toMatch(/nothere[\s\S]*berth services list/);

      const late = customer.withToken(await makeExpiredToken(given.lab()));
      const refused = await late.git(dir, ["push", "berth", "HEAD:refs/heads/main"]).ended;
      console.log(`=== git push with an expired token\n${refused.output}`);
      expect(refused.code).not.toBe(0);
      expect(refused.output).toMatch(/expired|Authentication failed/);
      const who = await late.tryBerth(["whoami"]).ended;
      console.log(`=== berth whoami with an expired token\n${who.output}`);
      expect(who.code).toBe(3);
      expect(who.output).toMatch(/expired[\s\S]*berth login/);
    });

    test("a build that hangs is stopped at its limit", async () => {
      const pushed = await slow;
      console.log(`=== a build that hangs\n${pushed.output}`);
      expect(pushed.output).toMatch(/build-timeout/);
      expect(pushed.output).toMatch(new RegExp(`${buildTimeoutMs / 1000} s|1 minute\\b`));
      expect(pushed.output).toMatch(/BERTH_BUILD_TIMEOUT_MS/);
    });

    test("nothing of all that is left behind, and the first release still serves", async () => {
      await until("nothing left behind", async () =>
        (await leftovers(given.lab())).length === 0 ? true : undefined,
      ).catch(() => undefined);
      expect(await leftovers(given.lab())).toEqual([]);
      expect((await get(given.lab().lab.host("h1").address, url)).status).toBe(200);
      await expectOldServes();
    });
  });
}

/** A thousand folders that are one and the same folder of a thousand files that are one and the same file. */
async function makeBomb({ customer, dir }: App): Promise<string> {
  const blob = await customer.gitOk(dir, ["hash-object", "-w", "--stdin"], { input: "boom" });
  const numbers = Array.from({ length: 1000 }, (_, i) => i);
  const mktree = (line: (name: string) => string) =>
    customer.gitOk(dir, ["mktree"], { input: numbers.map((n) => line(`n${n}`)).join("") });
  const inner = await mktree((name) => `100644 blob ${blob}\t${name}\n`);
  const outer = await mktree((name) => `040000 tree ${inner}\t${name}\n`);
  return await customer.gitOk(dir, ["commit-tree", outer, "-m", "bomb"]);
}

async function makeExpiredToken(lab: E2eLab): Promise<string> {
  const token = `berth_${randomBytes(20).toString("hex")}`;
  await lab.query(
    `insert into api.tokens (id, user_id, name, hash, created_at, expires_at)
     select $1, user_id, 'expired', $2, now() - interval '2 days', now() - interval '1 day'
     from api.tokens limit 1`,
    [newId("token"), createHash("sha256").update(token).digest("hex")],
  );
  return token;
}
