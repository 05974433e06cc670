/** Names of ready images, as people write them: `nginx:1.27`, `ghcr.io/acme/shop@sha256:…`, `:v1` for one's own. */
import { z } from "zod";

export const MAX_REFERENCE_CHARACTERS = 500;

export interface ImageReference {
  /** `host` or `host:port`. */
  readonly registry: string;
  readonly repository: string;
  /** A tag, or a digest when one is given: what it names cannot change then. */
  readonly version: string;
}

const HOST = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/i;
const PATH = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** What a name without a registry means, everywhere. */
const DEFAULT_REGISTRY = "docker.io";

/** @returns null for a text that names no image */
export function parseImageReference(text: string): ImageReference | null {
  if (text.length > MAX_REFERENCE_CHARACTERS) return null;
  const [name = "", digest, ...rest] = text.split("@");
  if (rest.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return null;
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasRegistry = /[.:]/.test(first) || first === "localhost";
  const registry = hasRegistry ? first.toLowerCase() : DEFAULT_REGISTRY;
  const path = hasRegistry ? name.slice(slash + 1) : name;
  const [repository = "", tag, ...more] = path.split(":");
  if (more.length > 0 || (tag !== undefined && !TAG.test(tag))) return null;
  if (!HOST.test(registry) || !PATH.test(repository)) return null;
  const official = registry === DEFAULT_REGISTRY && !repository.includes("/");
  return {
    registry,
    repository: official ? `library/${repository}` : repository,
    version: digest ?? tag ?? "latest",
  };
}

/** A whole name, or `:TAG` in the service's own repository. */
export const ImageName = z
  .string()
  .max(MAX_REFERENCE_CHARACTERS)
  .refine(
    (text) => (text.startsWith(":") ? TAG.test(text.slice(1)) : parseImageReference(text) !== null),
    "must name an image, for example nginx:1.27, ghcr.io/acme/shop@sha256:… or :v1 in the service's own repository",
  );
