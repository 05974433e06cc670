/** A custom domain from its claim to HTTPS with a certificate that a customer brings, and another one after it. */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import type { Certificate } from "@berth/shared/contracts/http/certificates.ts";
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import { TestAuthority, type TestPair } from "@berth/shared/testing/certificates.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ran, until } from "../../services/api/src/testing/live-api.ts";
import { type HttpsRig, startHttpsRig } from "./https-rig.ts";

const files = mkdtempSync("/tmp/berth-https-files-");
let authority: TestAuthority;
let rig: HttpsRig;

beforeAll(async () => {
  authority = await TestAuthority.create();
  const own = await pair("pod", await authority.leaf({ names: ["*.berth.localhost"] }));
  rig = await startHttpsRig({ BERTH_ROUTER_POD_CERT_FILE: own.cert, BERTH_ROUTER_POD_KEY_FILE: own.key });
}, 120_000);

afterAll(async () => {
  await rig?.close();
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

/** SHA-256 of the certificate that a new client gets, or null. */
function servedFor(servername: string): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { port: rig.httpsPort, host: "127.0.0.1", servername, ca: authority.root };
    const socket = connect(options, () => {
      resolve(fingerprint(socket.getPeerX509Certificate()));
      socket.destroy();
    });
    socket.on("error", () => resolve(null));
  });
}

const fingerprint = (one: X509Certificate | undefined) =>
  one === undefined ? null : one.fingerprint256.replaceAll(":", "").toLowerCase();

const untilServed = (name: string, { made }: Pair) =>
  until(`${name} is served with the new certificate`, async () => {
    return (await servedFor(name)) === fingerprint(new X509Certificate(made.certificate));
  });

test("claimed, proved, served over HTTP; then HTTPS with what the customer brings, renewed, and never with the key in clear", async () => {
  writeFileSync(join(files, "root.crt"), authority.root);
  const { httpPort, httpsPort, api } = rig;
  const name = "www.example.com";
  const own = "shop-production.berth.localhost";
  await until("the pod's own names have HTTPS", async () => (await servedFor(own)) !== null);
  expect((await curl(`https://${own}:${httpsPort}/`, ...to(own, httpsPort))).out).toContain("HTTP/2 200");

  const claimed = await berth<Domain>("domains", "add", "shop", name);
  expect((await curl(`http://${name}:${httpPort}/`, ...to(name, httpPort))).out).toContain("404");
  expect((await api.berth(["domains", "verify", "shop", name])).err).toContain("TXT record");
  api.pod.dns.txt.set(claimed.record.name, [claimed.record.value]);
  expect(await berth<Domain>("domains", "verify", "shop", name)).toMatchObject({
    ...{ state: "verified", routed: true, certificate: null },
  });
  expect((await curl(`http://${name}:${httpPort}/`, ...to(name, httpPort))).out).toContain("200 OK");
  expect(await servedFor(name)).toBeNull();

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

  await berth("domains", "rm", "shop", name);
  await until("a released domain is served no more", async () => (await servedFor(name)) === null);
}, 120_000);

/** Not in the database, not in what the services wrote, not in the edge's files but those in its folder for memory. */
async function expectNoKey(pairs: readonly Pair[]): Promise<void> {
  const { rows } = await rig.api.admin.query<{ name: string }>(
    "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
  );
  const texts = [rig.api.output()];
  for (const { name } of rows) {
    const found = await rig.api.admin.query<{ row: string }>(`select t::text as row from ${name} t`);
    texts.push(...found.rows.map(({ row }) => row));
  }
  for (const folder of [rig.dir, join(rig.dir, "certificates")])
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
