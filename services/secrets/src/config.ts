/** Every setting of the secrets service. The master key is read here and nowhere else. */
import { BusConfig, DatabaseConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

export const SecretsConfig = {
  ...BusConfig,
  ...DatabaseConfig,
  masterKeyFile: key("BERTH_MASTER_KEY_FILE", z.string().min(1), {
    why: "32 bytes in base64 that wrap every data key",
  }),
  registrySigningKeyFile: key("BERTH_REGISTRY_SIGNING_KEY_FILE", z.string().min(1), {
    why: "signs registry tokens",
  }),
  registrySigningCertFile: key("BERTH_REGISTRY_SIGNING_CERT_FILE", z.string().min(1), {
    why: "what the registry trusts",
  }),
  registryTokenIssuer: key("BERTH_REGISTRY_TOKEN_ISSUER", z.string().min(1), {
    default: "berth-secrets",
    why: "the issuer that the registry expects",
  }),
  registryTokenAudience: key("BERTH_REGISTRY_TOKEN_AUDIENCE", z.string().min(1), {
    default: "berth-registry",
    why: "the service name that the registry expects",
  }),
  pullTokenSeconds: key("BERTH_PULL_TOKEN_SECONDS", z.coerce.number().int().min(60).max(3600), {
    default: 600,
    why: "life of a pull token: one pull",
  }),
  pushTokenSeconds: key("BERTH_PUSH_TOKEN_SECONDS", z.coerce.number().int().min(60).max(7200), {
    default: 1800,
    why: "life of a push token: one build's push",
  }),
} as const;
