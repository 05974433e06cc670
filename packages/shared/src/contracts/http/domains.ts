/** Custom domains: claimed for a service, proved by a TXT record, then served by every edge. */
import { z } from "zod";
import { DomainName } from "../../domain/domain-name.ts";
import { CertificateId } from "../../domain/ids.ts";
import { ServiceName } from "../../domain/names.ts";
import { ENVIRONMENT, EnvironmentPath, SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

const MOST_HSTS_SECONDS = 63_072_000;

export const DomainSettings = z.strictObject({
  /** Plain HTTP is led to HTTPS, once there is a certificate. */
  httpsOnly: z.boolean(),
  /** Browsers are told to use HTTPS alone for so long; null: they are told nothing. */
  hstsSeconds: z.int().min(0).max(MOST_HSTS_SECONDS).nullable(),
});
export type DomainSettings = z.infer<typeof DomainSettings>;

export const Domain = z.strictObject({
  name: z.string(),
  service: ServiceName,
  state: z.enum(["pending", "verified"]),
  /** The record that proves ownership: of type TXT. */
  record: z.strictObject({ name: z.string(), value: z.string() }),
  /** Whether every live edge was seen to serve it. */
  routed: z.boolean(),
  /** The certificate that every live edge was seen to serve it with; null: plain HTTP only. */
  certificate: CertificateId.nullable(),
  /** Why the last try to order a certificate for it failed; null: it did not. */
  orderProblem: z.string().nullable(),
  /** Since when its TXT record was not found again; null: it was. The domain is released when that goes on for days. */
  proofProblem: z.strictObject({ text: z.string(), since: z.string() }).nullable(),
  ...DomainSettings.shape,
  createdAt: z.string(),
});
export type Domain = z.infer<typeof Domain>;

const DOMAIN = `${SERVICE}/domains/:domain`;
const DomainPath = ServicePath.extend({ domain: DomainName });

export const listDomains = route({
  method: "GET",
  path: `${ENVIRONMENT}/domains`,
  role: "member",
  summary: "Custom domains of an environment's services",
  params: EnvironmentPath,
  reply: z.strictObject({ domains: z.array(Domain) }),
});

export const addDomain = route({
  method: "POST",
  path: `${SERVICE}/domains`,
  role: "member",
  summary: "Claim a domain for a service; the answer says which TXT record proves it",
  params: ServicePath,
  body: z.strictObject({ name: DomainName }),
  reply: Domain,
});

export const showDomain = route({
  method: "GET",
  path: DOMAIN,
  role: "member",
  summary: "One domain of a service",
  params: DomainPath,
  reply: Domain,
});

export const verifyDomain = route({
  method: "POST",
  path: `${DOMAIN}/verify`,
  role: "member",
  summary: "Look for the TXT record now; once it was seen, edges serve the domain",
  params: DomainPath,
  reply: Domain,
});

export const changeDomain = route({
  method: "PATCH",
  path: DOMAIN,
  role: "member",
  summary: "Change how a domain is served",
  params: DomainPath,
  body: DomainSettings.partial(),
  reply: Domain,
});

export const removeDomain = route({
  method: "DELETE",
  path: DOMAIN,
  role: "owner",
  summary: "Release a domain; for a while only this org may take it again",
  params: DomainPath,
  reply: z.strictObject({ removed: z.literal(true) }),
});
