/**
 * A custom domain from its claim to HTTPS: with a certificate that is ordered, with one that a customer brings, with the next
 * one, and with the ordered one again.
 */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import type { Certificate } from "@berth/shared/contracts/http/certificates.ts";
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import { TestAuthority, type TestPair } from "@berth/shared/testing/certificates.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ran, until } from "../../services/api/src/testing/live-api.ts";
import type { HttpsRig } from "./https-rig.ts";
import type { Pebble } from "./pebble.ts";
import { startPebbleRig } from "./pebble-rig.ts";

const files = mkdtempSync("/tmp/berth-https-files-");
let authority: TestAuthority;
let rig: HttpsRig;
let pebble: Pebble;

beforeAll(async () => {
  authority = await TestAuthority.create();
  const own = await pair("pod", await authority.leaf({ names: ["*.berth.localhost"] }));
  const podEnv = { BERTH_ROUTER_POD_CERT_FILE: own.cert, BERTH_ROUTER_POD_KEY_FILE: own.key };
  ({ rig, pebble } = await startPebbleRig({ files, authority, podEnv }));
}, 180_000);

afterAll(async () => {
  await rig?.close();
  await pebble?.close();
  rmSync(files, { recursive: true, force: true });
}, 60_000);

interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly made: TestPair;
}

/** The root in the wrong place: it is put right. */
async function pair(name: string, made: TestPair): Promise<Pair> {
  const [cert, key] = [join(files, `${name}.crt`), join(files, `${name}.key`)];
  writeFileSync(cert, [authority.root, authority.intermediate, made.certificate].join("\n"));
  writeFileSync(key, made.key);
  return { cert, key, made };
}

async function berth<T>(...words: string[]): Promise<T> {
  const ran = await rig.api.berth([...words, "--json"]);
  expect(ran, words.join(" ")).toMatchObject({ code: 0 });
  return JSON.parse(ran.out) as T;
}

const curl = (url: string, ...more: string[]): Promise<Ran> =>
  rig.api.run("curl", ["-sS", "--cacert", join(files, "root.crt"), "-D", "-", ...more, url]);
const to = (name: string, port: number) => ["--resolve", `${name}:${port}:127.0.0.1`];

/** The certificate that a new client gets, whoever vouches for it; null: none. */
function certificateOf(servername: string): Promise<X509Certificate | null> {
  return new Promise((resolve) => {
    const options = { port: rig.httpsPort, host: "127.0.0.1", servername, rejectUnauthorized: false };
    const socket = connect(options, () => {
      resolve(socket.getPeerX509Certificate() ?? null);
      socket.destroy();
    });
    socket.on("error", () => resolve(null));
  });
}

const servedFor = async (name: string) => fingerprint((await certificateOf(name)) ?? undefined);
const isOrdered = async (name: string) => (await certificateOf(name))?.issuer.includes("Pebble") === true;

const fingerprint = (one: X509Certificate | undefined) =>
  one === undefined ? null : one.fingerprint256.replaceAll(":", "").toLowerCase();

const untilServed = (name: string, { made }: Pair) =>
  until(`${name} is served with the new certificate`, async () => {
    return (await servedFor(name)) === fingerprint(new X509Certificate(made.certificate));
  });

test("claimed, proved, served over HTTP; then HTTPS with what the customer brings, renewed, and never with the key in clear", async () => {
  const { httpPort, httpsPort, api } = rig;
  const name = "www.example.com";
  const own = "shop-production.berth.localhost";
  await until("the pod's own names have HTTPS", async () => (await servedFor(own)) !== null);
  expect((await curl(`https://${own}:${httpsPort}/`, ...to(own, httpsPort))).out).toContain("HTTP/2 200");

  api.pod.dns.a.set(name, "127.0.0.1");
  const claimed = await berth<Domain>("domains", "add", "shop", name);
  expect((await curl(`http://${name}:${httpPort}/`, ...to(name, httpPort))).out).toContain("404");
  expect((await api.berth(["domains", "verify", "shop", name])).err).toContain("TXT record");
  api.pod.dns.txt.set(claimed.record.name, [claimed.record.value]);
  expect(await berth<Domain>("domains", "verify", "shop", name)).toMatchObject({
    ...{ state: "verified", routed: true },
  });
  expect((await curl(`http://${name}:${httpPort}/`, ...to(name, httpPort))).out).toContain("200 OK");
  await until("a certificate was ordered", () => isOrdered(name));

  const first = await pair("first", await authority.leaf({ names: [name] }));
  const other = await pair("other", await authority.leaf({ names: ["other.example"] }));
  const wrong = await api.berth(["certs", "add", "shop", "--cert", first.cert, "--key", other.key]);
  expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining("belongs to none")]);
  type Added = { certificate: Certificate; notes: string[] };
  const added = await berth<Added>("certs", "add", "shop", "--cert", first.cert, "--key", first.key);
  expect(added.notes).toContain("the root was left out: clients have it");
  await untilServed(name, first);
  await until("the domain tells its certificate", async () => {
    return (await berth<Domain>("domains", "show", "shop", name)).certificate === added.certificate.id;
  });
  const { rows: pods } = await api.admin.query<{ id: string }>(
    "select id from router.certificates where source = 'pod'",
  );
  const podId = pods[0]?.id ?? "";
  expect(await rig.givenToFront([podId, added.certificate.id])).toEqual([podId]);
  await berth("domains", "set", "shop", name, "--https-only", "on", "--hsts", "60");
  await until("plain HTTP is led to HTTPS", async () => {
    const { out } = await curl(`http://${name}:${httpPort}/a?b=c`, ...to(name, httpPort));
    return out.includes("308") && out.includes(`location: https://${name}:${httpsPort}/a?b=c`);
  });
  const { out } = await curl(`https://${name}:${httpsPort}/`, ...to(name, httpsPort), "--http2");
  expect(out).toContain("HTTP/2 200");
  expect(out).toContain("strict-transport-security: max-age=60");
  expect(out).toContain('"x-forwarded-proto":"https"');

  const second = await pair("second", await authority.leaf({ names: [name], notAfterMs: Date.now() + 1e10 }));
  await berth("certs", "add", "shop", "--cert", second.cert, "--key", second.key);
  await untilServed(name, second);
  const { certificates } = await berth<{ certificates: Certificate[] }>("certs", "list");
  expect(certificates.map(({ serves }) => serves.length).sort()).toEqual([0, 1]);
  const serving = certificates.find(({ serves }) => serves.length > 0)?.id ?? "";
  await berth("certs", "rm", serving);
  await untilServed(name, first);
  await until("the removed key is deleted", async () => {
    const { rows } = await api.admin.query("select 1 from secrets.certificates where id = $1", [serving]);
    return rows.length === 0;
  });
  await expectNoKey([first, second, other]);
  await expectWoken(name);

  await berth("certs", "rm", added.certificate.id);
  await until("the ordered one serves again", () => isOrdered(name));
  const ordered = await servedFor(name);
  await api.admin.query(
    "update router.certificates set info = jsonb_set(info, '{notBeforeMs}', '0') where source = 'acme'",
  );
  await until("it is renewed", async () => (await isOrdered(name)) && (await servedFor(name)) !== ordered);
  await expectNoOrder();

  await expectFailOver(name);
  await berth("domains", "rm", "shop", name);
  await until("a released domain is served no more", async () => (await servedFor(name)) === null);
}, 180_000);

/** A request that comes through the environment's proxy wakes what sleeps, and is answered by it. */
async function expectWoken(name: string): Promise<void> {
  const { httpsPort } = rig;
  await rig.sleep();
  const asked = curl(`https://${name}:${httpsPort}/`, ...to(name, httpsPort));
  // The first host's edge passed it on to the second one's proxy, and that one to its own host's activator.
  expect(await rig.untilWoken()).toBe("member");
  await rig.awake();
  expect((await asked).out).toContain("HTTP/2 200");
}

/** Each host has a proxy; one of them ends with its host: every new request finds the other one, at both edges. */
async function expectFailOver(name: string): Promise<void> {
  const { httpsPort, httpsPortOfMember } = rig;
  await rig.spread();
  const ports = [httpsPort, httpsPortOfMember];
  const askBoth = () =>
    Promise.all(
      ports.map((port) => {
        const there = `${name}:${httpsPort}:127.0.0.1:${port}`;
        // By then the certificate is Pebble's.
        return curl(`https://${name}:${httpsPort}/`, "--insecure", "--connect-to", there);
      }),
    );
  await rig.cutOffMember();
  for (let round = 0; round < 5; round++)
    for (const { code, out } of await askBoth())
      expect([code, out]).toEqual([0, expect.stringContaining("HTTP/2 200")]);
}

/** None for a claim that is not proved; a proved one that does not lead here fails, and is tried again later. */
async function expectNoOrder(): Promise<void> {
  const { api } = rig;
  await berth("domains", "add", "shop", "claimed.example.com");
  const away = await berth<Domain>("domains", "add", "shop", "away.example.com");
  api.pod.dns.txt.set(away.record.name, [away.record.value]);
  api.pod.dns.a.set("away.example.com", "127.0.0.9");
  await berth("domains", "verify", "shop", "away.example.com");
  await until("the order failed", async () => {
    const { rows } = await api.admin.query(
      "select last_error from router.acme_orders where name = 'away.example.com' and failures = 1 and next_try_at > now() and challenge is null",
    );
    return rows.length === 1;
  });
  expect((await berth<Domain>("domains", "show", "shop", "away.example.com")).orderProblem).not.toBeNull();
  const { rows } = await api.admin.query("select name from router.acme_orders where name like 'claimed%'");
  expect(rows).toEqual([]);
}

/** Not in the database, not in what the services wrote, not in the hosts' files but those in the member's folders in memory. */
async function expectNoKey(pairs: readonly Pair[]): Promise<void> {
  const { rows } = await rig.api.admin.query<{ name: string }>(
    "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
  );
  const texts = [rig.api.output()];
  for (const { name } of rows) {
    const found = await rig.api.admin.query<{ row: string }>(`select t::text as row from ${name} t`);
    texts.push(...found.rows.map(({ row }) => row));
  }
  // The first host has no job of the environment: it has its key nowhere, not in memory either.
  for (const file of readdirSync(rig.dir, { withFileTypes: true, recursive: true }))
    if (file.isFile()) texts.push(readFileSync(join(file.parentPath, file.name), "utf8"));
  for (const folder of [rig.dirOfProxies, join(rig.dirOfProxies, "certificates")])
    for (const file of readdirSync(folder, { withFileTypes: true }))
      if (file.isFile()) texts.push(readFileSync(join(folder, file.name), "utf8"));
  const all = texts.join("\n");
  expect(all).toContain("www.example.com");
  for (const { made } of pairs) {
    const line = made.key.split("\n")[1] ?? "";
    expect(line.length).toBeGreaterThan(40);
    expect(all.includes(line)).toBe(false);
    expect(all.includes(Buffer.from(line).toString("hex"))).toBe(false);
  }
}
