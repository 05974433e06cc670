/** `berth certs`: certificates that customers bring along. A key goes to the pod and never comes back. */
import { readFile, stat } from "node:fs/promises";
import type { Certificate } from "@berth/shared/contracts/http/certificates.ts";
import type { Command } from "commander";
import { clean } from "../output/clean.ts";
import { print, printJson, printLines, printTable, say } from "../output/print.ts";
import { table } from "../output/table.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, findEnvironment } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

interface AddFlags extends EnvFlags {
  readonly cert: string;
  readonly key: string;
}

const MOST_BYTES = 65_536;
const DAY_MS = 24 * 3600 * 1000;

export function registerCertificateCommands(program: Command): void {
  const certs = program.command("certs").description("certificates for a service's own domains");
  examples(
    withEnv(certs.command("add [service]"))
      .description("bring a certificate for one service, or without a name for the whole environment")
      .requiredOption("--cert <file>", "the certificate with its intermediates, in PEM")
      .requiredOption("--key <file>", "its key, in PEM, without a passphrase")
      .action(add),
    "berth certs add shop --cert fullchain.pem --key privkey.pem",
    "berth certs add --cert fullchain.pem --key privkey.pem --env acme/production",
  );
  examples(
    withEnv(certs.command("list", { isDefault: true }))
      .description("the certificates of the environment, what they serve and until when")
      .action(list),
    "berth certs list",
  );
  examples(
    withEnv(certs.command("show <id>")).description("one certificate").action(show),
    "berth certs show crt_01j9z3k5m7p9r1t3v5x7z9b2d4",
  );
  examples(
    withEnv(certs.command("rm <id>"))
      .description("remove a certificate (owners); its key is deleted everywhere")
      .action(remove),
    "berth certs rm crt_01j9z3k5m7p9r1t3v5x7z9b2d4",
  );
}

async function add(service: string | undefined, flags: AddFlags): Promise<void> {
  const [chain, key] = [await readPem(flags.cert), await readPem(flags.key)];
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const reply = await client.call("addCertificate", {
    params,
    body: { service: service ?? null, chain, key },
  });
  if (flags.json === true) return printJson(reply);
  const { certificate, notes } = reply;
  for (const note of notes) say(clean(note));
  printCertificate(certificate);
  say("verified domains that it covers are served with it within a second or two");
}

async function readPem(file: string): Promise<string> {
  const size = await stat(file).then(
    (found) => found.size,
    () => null,
  );
  if (size === null) throw usageError(`${file} cannot be read`, "Name the files with --cert and --key.");
  if (size > MOST_BYTES) throw usageError(`${file} has more than ${MOST_BYTES} bytes`, "It is no PEM file.");
  return readFile(file, "utf8");
}

async function list(flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const reply = await client.call("listCertificates", { params });
  if (flags.json === true) return printJson(reply);
  const columns = [
    { title: "ID", cell: (one: Certificate) => one.id },
    { title: "FOR", cell: (one: Certificate) => clean(one.service ?? "all services") },
    { title: "NAMES", cell: (one: Certificate) => clean(one.names.join(" ")) },
    { title: "SERVES", cell: (one: Certificate) => clean(one.serves.join(" ") || "-") },
    { title: "UNTIL", cell: (one: Certificate) => until(one) },
  ];
  printTable(
    table(columns, reply.certificates),
    "there are no certificates; bring one with `berth certs add`",
  );
}

async function show(id: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = { ...(await findEnvironment(client, flags.env)), certificate: id };
  const certificate = await client.call("showCertificate", { params });
  if (flags.json === true) printJson(certificate);
  else printCertificate(certificate);
}

async function remove(id: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = { ...(await findEnvironment(client, flags.env)), certificate: id };
  const reply = await client.call("removeCertificate", { params });
  if (flags.json === true) printJson(reply);
  else say(`${clean(id)} is removed; the edges follow within a second or two`);
}

function printCertificate(certificate: Certificate): void {
  const { id, service, names, serves, issuer, keyKind, fingerprint } = certificate;
  print(`${id} for ${clean(service ?? "all services")}, ${until(certificate)}`);
  printLines([
    `  names   ${clean(names.join(" "))}`,
    `  serves  ${clean(serves.join(" ") || "nothing yet: no verified domain is covered")}`,
    `  issuer  ${clean(issuer)}`,
    `  key     ${keyKind}, certificate SHA-256 ${fingerprint}`,
  ]);
}

function until({ notAfterMs }: Certificate): string {
  const days = Math.floor((notAfterMs - Date.now()) / DAY_MS);
  const date = new Date(notAfterMs).toISOString().slice(0, 10);
  return days < 0 ? `expired ${date}` : `${date} (${days} d)`;
}
