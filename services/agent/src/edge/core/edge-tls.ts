/**
 * HTTPS at the edge: which certificate is served under which name, and how host names behave over HTTP and HTTPS.
 *
 * A certificate is served under exactly one kind of name: the host name that asks for it, or the wildcard that covers
 * that. A client that asks for any other name is refused in the handshake and sees no certificate.
 */
import { wildcardOf } from "@berth/shared/domain/domain-name.ts";
import { type EdgeState, isProxied } from "./edge-state.ts";
import { siteOptions } from "./site-options.ts";

/** What the proxy takes, opened in memory. */
export interface EdgeCertificate {
  /** The certificate, its intermediates, its key. */
  readonly pem: string;
  /** SHA-1 of the certificate in upper-case hexadecimal, as the proxy prints it. */
  readonly fingerprint: string;
}

export type CertificateSource = (certificateId: string) => EdgeCertificate | undefined;

/** Whether a site may be served with a certificate under this name. */
export function isCertificateName(name: string, hostname: string): boolean {
  return name === hostname || name === wildcardOf(hostname);
}

/**
 * Name → certificate, of those that this proxy opens itself. Tables of different ages may name two for the pod's own wildcard: ids sort by age, the newest is
 * served.
 */
export function wantedCertificates({ tables, hosts }: EdgeState): Map<string, string> {
  const wanted = new Map<string, string>();
  for (const { environmentId, sites } of Object.values(tables)) {
    for (const { hostname, tls } of sites) {
      if (tls === undefined || isProxied({ tls }) || hosts[hostname]?.environmentId !== environmentId)
        continue;
      const have = wanted.get(tls.name);
      if (have === undefined || have < tls.certificateId) wanted.set(tls.name, tls.certificateId);
    }
  }
  return wanted;
}

/**
 * Entries of the map of options. A key is `OPTION@HOST`, perhaps with `/` and more; a host name has neither.
 * @param hasTls false: nobody is led to HTTPS, and no authority asks
 */
export function wantedOptions({ tables, hosts }: EdgeState, hasTls: boolean): Map<string, string> {
  const options = new Map<string, string>();
  for (const { environmentId, sites } of Object.values(tables)) {
    for (const site of sites) {
      const { hostname, tls, httpsOnly, hstsSeconds, challenge } = site;
      if (hosts[hostname]?.environmentId !== environmentId) continue;
      for (const [key, value] of siteOptions(site)) options.set(key, value);
      if (!hasTls) continue;
      if (challenge !== undefined)
        options.set(challengeKey(hostname, challenge.token), challenge.keyAuthorization);
      if (tls === undefined || tls.proxied === false) continue;
      if (httpsOnly === true) options.set(`https@${hostname}`, "1");
      if (hstsSeconds !== undefined) options.set(`hsts@${hostname}`, String(hstsSeconds));
    }
  }
  return options;
}

const CHALLENGE = "acme@";

export function challengeKey(hostname: string, token: string): string {
  return `${CHALLENGE}${hostname}/${token}`;
}

/** The file of a name, in the folder of certificates. */
export function certificatePath(tlsDir: string, name: string): string {
  return `${tlsDir}/${name.replace("*", "_wildcard")}.pem`;
}

/** The list of those that the proxy reads when it starts. */
export function listFile(tlsDir: string): string {
  return `${tlsDir}/certificates.list`;
}

export interface ObservedTls {
  /** Name → fingerprint of what is served under it. */
  readonly certificates: ReadonlyMap<string, string>;
  readonly options: ReadonlyMap<string, string>;
}

export interface WantedTls {
  /** Name → what should be served, or null while the host does not have it: what is served then stays. */
  readonly certificates: ReadonlyMap<string, EdgeCertificate | null>;
  readonly options: ReadonlyMap<string, string>;
}

/** @param source null: this edge serves no HTTPS */
export function wantedTls(state: EdgeState, source: CertificateSource | null): WantedTls {
  if (source === null) return { certificates: new Map(), options: wantedOptions(state, false) };
  const certificates = [...wantedCertificates(state)].map(([name, id]): [string, EdgeCertificate | null] => [
    name,
    source(id) ?? null,
  ]);
  return { certificates: new Map(certificates), options: wantedOptions(state, true) };
}

export type TlsStep =
  | { readonly kind: "set-certificate"; readonly name: string; readonly isNew: boolean }
  | { readonly kind: "remove-certificate"; readonly name: string }
  | { readonly kind: "set-option"; readonly key: string; readonly value: string; readonly isNew: boolean }
  | { readonly kind: "remove-option"; readonly key: string };

/** Certificates before options: nobody is led to HTTPS before it answers. */
export function planTls(
  observed: ObservedTls,
  wanted: WantedTls,
  mayRemoveUnknown: boolean,
): { readonly before: TlsStep[]; readonly after: TlsStep[] } {
  const before: TlsStep[] = [];
  const after: TlsStep[] = [];
  for (const [name, certificate] of wanted.certificates) {
    const have = observed.certificates.get(name);
    if (certificate !== null && have !== certificate.fingerprint)
      before.push({ kind: "set-certificate", name, isNew: have === undefined });
  }
  for (const key of observed.options.keys())
    if (mayRemoveUnknown && !wanted.options.has(key)) before.push({ kind: "remove-option", key });
  for (const [key, value] of wanted.options) {
    const have = observed.options.get(key);
    if (have !== value) after.push({ kind: "set-option", key, value, isNew: have === undefined });
  }
  for (const name of observed.certificates.keys())
    if (mayRemoveUnknown && !wanted.certificates.has(name)) after.push({ kind: "remove-certificate", name });
  return { before, after };
}

/** Environments of which some site is not served over HTTPS, or with its options, as its table says. */
export function unservedTls(
  { tables }: EdgeState,
  observed: ObservedTls,
  wanted: WantedTls,
  source: CertificateSource | null,
): Set<string> {
  const unserved = new Set<string>();
  const wrong = wrongSites(observed, wanted);
  for (const { environmentId, sites } of Object.values(tables)) {
    const isServed = sites.every(({ hostname, tls }) => {
      if (wrong.has(hostname)) return false;
      if (tls === undefined || isProxied({ tls }) || source === null) return true;
      const certificate = wanted.certificates.get(tls.name) ?? null;
      return certificate !== null && observed.certificates.get(tls.name) === certificate.fingerprint;
    });
    if (!isServed) unserved.add(environmentId);
  }
  return unserved;
}

/** Host names of which some option differs. A challenge is the authority's matter: no table waits for it. */
function wrongSites(observed: ObservedTls, wanted: WantedTls): Set<string> {
  const keys = new Set([...observed.options.keys(), ...wanted.options.keys()]);
  const wrong = [...keys].filter(
    (key) => !key.startsWith(CHALLENGE) && observed.options.get(key) !== wanted.options.get(key),
  );
  return new Set(wrong.map((key) => key.slice(key.indexOf("@") + 1).replace(/\/.*$/, "")));
}
