/**
 * Certificates and options of sites in the running proxy, by its Runtime API. What is changed is changed for new handshakes; connections go
 * on. A PEM is a command's payload and in no message of an error.
 */
import type { EdgeCertificate, ObservedTls, TlsStep } from "../core/edge-tls.ts";
import { certificatePath, listFile } from "../core/edge-tls.ts";
import { parseCertificateList, parseFingerprint, parseMap } from "../core/runtime-text.ts";
import { RuntimeApiError, type RuntimeClient } from "./runtime-client.ts";

export interface TlsPaths {
  /** Folder of certificates, in memory; null: no HTTPS. */
  readonly tlsDir: string | null;
  readonly optionsFile: string;
}

export class TlsHands {
  readonly #client: RuntimeClient;
  readonly #paths: TlsPaths;
  /** Name → fingerprint as read from the process `#pid`; a name that is changed is read again. */
  readonly #seen = new Map<string, string>();
  #pid = 0;

  constructor(client: RuntimeClient, paths: TlsPaths) {
    this.#client = client;
    this.#paths = paths;
  }

  get questions(): string[] {
    const { tlsDir, optionsFile } = this.#paths;
    const list = tlsDir === null ? [] : [`show ssl crt-list ${listFile(tlsDir)}`];
    return [`show map ${optionsFile}`, ...list];
  }

  /**
   * @param pid of the running proxy: another one's certificates are read anew
   * @param answers to `questions`
   */
  async observe(pid: number, [map = "", list = ""]: readonly string[]): Promise<ObservedTls> {
    if (pid !== this.#pid) this.#seen.clear();
    this.#pid = pid;
    const { tlsDir } = this.#paths;
    const options = parseMap(map);
    if (tlsDir === null) return { certificates: new Map(), options };
    const names = parseCertificateList(list);
    for (const known of this.#seen.keys()) if (!names.includes(known)) this.#seen.delete(known);
    for (const name of names) {
      if (this.#seen.has(name)) continue;
      // Alone: strangers wrote what it shows, and it may hold any line.
      const shown = await this.#client.ask(`show ssl cert ${certificatePath(tlsDir, name)}`);
      this.#seen.set(name, parseFingerprint(shown));
    }
    return { certificates: new Map(names.map((name) => [name, this.#seen.get(name) ?? ""])), options };
  }

  /** @throws RuntimeApiError `refused` when the proxy did not do it; what it served before, it still does */
  async run(step: TlsStep, certificate: EdgeCertificate | null | undefined): Promise<void> {
    const { tlsDir, optionsFile } = this.#paths;
    switch (step.kind) {
      case "set-option":
        return this.#expect(
          `${step.isNew ? "add" : "set"} map ${optionsFile} ${step.key} ${step.value}`,
          /^$/,
        );
      case "remove-option":
        return this.#expect(`del map ${optionsFile} ${step.key}`, /^$/);
      case "set-certificate":
        if (tlsDir === null || certificate === null || certificate === undefined) return;
        return this.#set(tlsDir, step.name, certificate, step.isNew);
      case "remove-certificate": {
        if (tlsDir === null) return;
        const file = certificatePath(tlsDir, step.name);
        this.#seen.delete(step.name);
        await this.#expect(`del ssl crt-list ${listFile(tlsDir)} ${file}`, /deleted/i);
        return this.#expect(`del ssl cert ${file}`, /deleted/i);
      }
    }
  }

  async #set(tlsDir: string, name: string, { pem }: EdgeCertificate, isNew: boolean): Promise<void> {
    const file = certificatePath(tlsDir, name);
    this.#seen.delete(name);
    if (isNew) await this.#expect(`new ssl cert ${file}`, /New empty|already exists/i);
    try {
      await this.#expect(`set ssl cert ${file}`, /Transaction (created|updated)/i, pem);
      await this.#expect(`commit ssl cert ${file}`, /Success/);
    } catch (error) {
      await this.#abort(file, error);
      throw error;
    }
    if (isNew) await this.#expect(`add ssl crt-list ${listFile(tlsDir)}`, /Success/, `${file} ${name}`);
  }

  /** The proxy knows one transaction: one that an agent left behind must not stand in the way of all others. */
  async #abort(file: string, error: unknown): Promise<void> {
    const other = /ongoing transaction is about '([^'\s]+)'/.exec(String(error))?.[1];
    for (const path of [file, ...(other === undefined ? [] : [other])])
      await this.#client.ask(`abort ssl cert ${path}`).catch(() => undefined);
  }

  /** @param payload goes after the command; it ends at an empty line, so it has none */
  async #expect(command: string, expected: RegExp, payload?: string): Promise<void> {
    const lines = payload?.split("\n").filter((line) => line !== "");
    const text = lines === undefined ? command : `${command} <<\n${lines.join("\n")}\n`;
    const answer = (await this.#client.ask(text, command)).trim();
    if (expected.test(answer)) return;
    const said = answer.replaceAll(/-----BEGIN[\s\S]*/g, "…").slice(0, 300);
    throw new RuntimeApiError("refused", `the edge's proxy refused "${command}": ${said}`);
  }
}
