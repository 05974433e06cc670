/**
 * Reads what a registry says of an image: a list of platforms, a manifest, a configuration (Docker's schema 2 and OCI).
 * All of it is somebody else's text: bounded, and refused in words when it is not what runs here.
 */
import { z } from "zod";
import { imageProfile } from "./image-profile.ts";

const MANIFEST_TYPES = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const LIST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
/** What the registry is asked for. */
export const ACCEPTED = [...MANIFEST_TYPES, ...LIST_TYPES].join(", ");

export const MAX_MANIFEST_BYTES = 4 * 1024 ** 2;
const MAX_CONFIG_BYTES = 4 * 1024 ** 2;
/** Engines mount no more. */
const MOST_LAYERS = 127;

const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const Blob = z.object({
  mediaType: z.string().max(200),
  digest: Digest,
  size: z.int().min(0),
});
export type Blob = z.infer<typeof Blob>;

const List = z.object({
  manifests: z
    .array(
      z.object({
        digest: Digest,
        platform: z.object({ os: z.string(), architecture: z.string() }).optional(),
      }),
    )
    .max(1000),
});
const Manifest = z.object({ config: Blob, layers: z.array(Blob) });
const Config = z.object({
  architecture: z.string(),
  os: z.string(),
  config: z
    .object({
      User: z.string().nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
});

export interface ImageManifest {
  readonly mediaType: string;
  readonly config: Blob;
  readonly layers: readonly Blob[];
  /** Of all layers, as they are stored. */
  readonly layersBytes: number;
}

export type Read<T> = { readonly kind: "read"; readonly value: T } | Refused;
type Refused = { readonly kind: "refused"; readonly detail: string };

const refused = (detail: string): Refused => ({ kind: "refused", detail });

export type ManifestOrChoice =
  | { readonly kind: "manifest"; readonly manifest: ImageManifest }
  | { readonly kind: "choice"; readonly digest: string };

/** @param architecture as images name it: `amd64`, `arm64` */
export function readManifest(
  mediaType: string,
  text: string,
  limits: { readonly architecture: string; readonly maxBytes: number },
): Read<ManifestOrChoice> {
  if (LIST_TYPES.includes(mediaType)) return choosePlatform(text, limits.architecture);
  if (!MANIFEST_TYPES.includes(mediaType))
    return refused(
      `its manifest is of the type ${JSON.stringify(mediaType.slice(0, 80))}, which is no image`,
    );
  const parsed = Manifest.safeParse(parseJson(text));
  if (!parsed.success) return refused("its manifest cannot be read");
  const { config, layers } = parsed.data;
  if (layers.length > MOST_LAYERS)
    return refused(`it has ${layers.length} layers; engines take ${MOST_LAYERS}`);
  if (config.size > MAX_CONFIG_BYTES) return refused("its configuration is larger than 4 MiB");
  if (layers.some(({ mediaType: type }) => /foreign|nondistributable/.test(type)))
    return refused("a layer of it is not in its registry");
  const layersBytes = layers.reduce((sum, { size }) => sum + size, 0);
  if (layersBytes > limits.maxBytes)
    return refused(`its layers have ${layersBytes} bytes; BERTH_BUILD_IMAGE_BYTES is ${limits.maxBytes}`);
  return { kind: "read", value: { kind: "manifest", manifest: { mediaType, config, layers, layersBytes } } };
}

function choosePlatform(text: string, architecture: string): Read<ManifestOrChoice> {
  const parsed = List.safeParse(parseJson(text));
  if (!parsed.success) return refused("its list of platforms cannot be read");
  const platforms = parsed.data.manifests.filter(({ platform }) => platform !== undefined);
  const ours = platforms.find(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
  );
  if (ours !== undefined) return { kind: "read", value: { kind: "choice", digest: ours.digest } };
  const there = platforms.map(({ platform }) => `${platform?.os}/${platform?.architecture}`).slice(0, 10);
  return refused(`it is not made for linux/${architecture}, only for ${there.join(", ") || "nothing"}`);
}

export interface ImageFacts {
  readonly profile: ReturnType<typeof imageProfile>;
}

export function readConfig(text: string, architecture: string): Read<ImageFacts> {
  const parsed = Config.safeParse(parseJson(text));
  if (!parsed.success) return refused("its configuration cannot be read");
  const { os, architecture: made, config } = parsed.data;
  if (os !== "linux" || made !== architecture)
    return refused(`it is made for ${os}/${made}, the hosts are linux/${architecture}`);
  if ((config?.Entrypoint ?? []).length + (config?.Cmd ?? []).length === 0)
    return refused("it has neither an entry point nor a command, so nothing would run");
  const exposedPorts = Object.keys(config?.ExposedPorts ?? {})
    .filter((port) => !port.endsWith("/udp"))
    .map((port) => Number.parseInt(port, 10))
    .filter((port) => port >= 1 && port <= 65_535);
  return {
    kind: "read",
    value: {
      profile: imageProfile({ user: config?.User ?? "", exposedPorts, labels: config?.Labels ?? {} }),
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
