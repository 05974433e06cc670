/**
 * The certificates that this host's edge serves. They are asked for by id as route tables name them, kept on disk only
 * as they came, sealed to this host's key, and opened in memory. So an edge starts without the control plane.
 */
import { X509Certificate } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  CERTIFICATES_AT_ONCE,
  CertificateEnvelope,
  SealedCertificate,
} from "@berth/shared/contracts/certificate.ts";
import { CertificateId, type HostId } from "@berth/shared/domain/ids.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { EdgeCertificate } from "./core/edge-tls.ts";
import { writeAtomically } from "./shell/edge-files.ts";

export interface CertificateKeeperGiven {
  /** Folder of the sealed ones. */
  readonly dir: string;
  readonly hostId: HostId;
  readonly curve: Curve;
  /** @throws BerthError `unavailable` while the control plane is away */
  readonly ask: (ids: CertificateId[]) => Promise<readonly SealedCertificate[]>;
  readonly log: Log;
}

export class CertificateKeeper {
  readonly #given: CertificateKeeperGiven;
  readonly #opened = new Map<string, EdgeCertificate>();

  constructor(given: CertificateKeeperGiven) {
    this.#given = given;
  }

  readonly get = (certificateId: string): EdgeCertificate | undefined => this.#opened.get(certificateId);

  /** Opens what is on disk; one that cannot be opened is dropped and asked for again. */
  async open(): Promise<void> {
    const { dir, log } = this.#given;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(dir)) {
      const path = join(dir, name);
      try {
        this.#take(SealedCertificate.parse(JSON.parse(await readFile(path, "utf8"))));
      } catch (error) {
        log.warn("certificate.not-opened", { name, error: describeError(error) });
        await rm(path, { force: true });
      }
    }
  }

  /**
   * Asks for those that are wanted and not here, and drops the others. @returns whether something came
   * @throws BerthError `unavailable`; what is here stays
   */
  async keep(wanted: ReadonlySet<string>): Promise<boolean> {
    const missing = [...wanted].filter((id) => !this.#opened.has(id)).map((id) => CertificateId.parse(id));
    let came = false;
    for (let at = 0; at < missing.length; at += CERTIFICATES_AT_ONCE) {
      const sealed = await this.#given.ask(missing.slice(at, at + CERTIFICATES_AT_ONCE));
      for (const one of sealed) came = (await this.#store(one, wanted)) || came;
    }
    for (const id of this.#opened.keys()) if (!wanted.has(id)) await this.#drop(id);
    return came;
  }

  async #store(sealed: SealedCertificate, wanted: ReadonlySet<string>): Promise<boolean> {
    const { certificateId } = sealed;
    if (!wanted.has(certificateId)) return false;
    try {
      this.#take(sealed);
    } catch (error) {
      this.#given.log.error("certificate.not-opened", { certificateId, error: describeError(error) });
      return false;
    }
    await writeAtomically(this.#path(certificateId), JSON.stringify(sealed));
    return true;
  }

  /** @throws Error when it is not for this host, or not the one that it says it is */
  #take({ certificateId, senderKey, sealed }: SealedCertificate): void {
    const { hostId, curve } = this.#given;
    const envelope = CertificateEnvelope.parse(curve.openJson(sealed, senderKey));
    if (envelope.hostId !== hostId || envelope.certificateId !== certificateId)
      throw new Error("the certificate was sealed for another host or as another certificate");
    const fingerprint = new X509Certificate(envelope.pem).fingerprint.replaceAll(":", "");
    this.#opened.set(certificateId, { pem: envelope.pem, fingerprint });
  }

  async #drop(certificateId: string): Promise<void> {
    this.#opened.delete(certificateId);
    await rm(this.#path(certificateId), { force: true });
  }

  #path(certificateId: string): string {
    return join(this.#given.dir, `${certificateId}.json`);
  }
}
