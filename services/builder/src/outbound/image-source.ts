/**
 * Reads an image from the registry that a customer named: anonymously, by the protocol of `docker pull`.
 * The service's own repository in the pod's registry is read with the build's own token.
 */
import type { IncomingMessage } from "node:http";
import type { ImageReference } from "@berth/shared/domain/image-reference.ts";
import { z } from "zod";
import { BuildStopped } from "../core/build-stopped.ts";
import { ACCEPTED, MAX_MANIFEST_BYTES } from "../core/read-image.ts";
import { publicGet, Refused } from "./public-get.ts";

const MAX_TOKEN_BYTES = 64 * 1024;
const TokenReply = z.object({ token: z.string().optional(), access_token: z.string().optional() });

export interface ImageSource {
  manifest(version: string): Promise<{ mediaType: string; text: string }>;
  blob(digest: string): Promise<IncomingMessage>;
}

export interface SourceGiven {
  readonly named: ImageReference;
  readonly signal: AbortSignal;
  /** Origins of the operator's own registries, which need not be public. */
  readonly ownRegistries: readonly string[];
  /** Set for the service's own repository: its registry's origin and a token. */
  readonly own: { readonly origin: string; readonly token: string } | null;
}

export function openImageSource(given: SourceGiven): ImageSource {
  const { named } = given;
  const origin = originOf(given);
  const alsoAllowed = new Set(given.own === null ? given.ownRegistries : [given.own.origin]);
  let token = given.own?.token ?? null;
  const ask = async (path: string, accept: string): Promise<IncomingMessage> => {
    const url = new URL(`/v2/${named.repository}/${path}`, origin);
    for (let again = false; ; again = true) {
      const headers = { accept, ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
      const answer = await reach(named, () => publicGet({ url, headers, signal: given.signal, alsoAllowed }));
      if (answer.statusCode !== 401 || again || given.own !== null) return checked(answer, named);
      answer.destroy();
      token = await fetchToken(given, answer.headers["www-authenticate"] ?? "", alsoAllowed);
    }
  };
  return {
    manifest: async (version) => {
      const answer = await ask(`manifests/${version}`, ACCEPTED);
      const text = await readText(answer, MAX_MANIFEST_BYTES);
      const mediaType = (answer.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
      return { mediaType, text };
    },
    blob: (digest) => ask(`blobs/${digest}`, "*/*"),
  };
}

function originOf({ named, own, ownRegistries }: SourceGiven): string {
  if (own !== null) return own.origin;
  // Docker's own name for its registry is not where it is.
  if (named.registry === "docker.io") return "https://registry-1.docker.io";
  return ownRegistries.find((one) => new URL(one).host === named.registry) ?? `https://${named.registry}`;
}

/** The token that anybody gets: `Bearer realm="…",service="…",scope="…"`. */
async function fetchToken(
  given: SourceGiven,
  challenge: string,
  alsoAllowed: ReadonlySet<string>,
): Promise<string> {
  const { named, signal } = given;
  const part = (name: string) => new RegExp(`${name}="([^"]{1,500})"`).exec(challenge)?.[1];
  const realm = part("realm");
  if (!/^bearer /i.test(challenge) || realm === undefined || !URL.canParse(realm))
    throw notFetched(named, "it asks for a login, so the image is not public");
  const url = new URL(realm);
  const service = part("service");
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", `repository:${named.repository}:pull`);
  const answer = await reach(named, () => publicGet({ url, headers: {}, signal, alsoAllowed }));
  if (answer.statusCode !== 200) {
    answer.destroy();
    throw notFetched(named, `its token server answered ${String(answer.statusCode)}: is the image public?`);
  }
  const text = await readText(answer, MAX_TOKEN_BYTES);
  const parsed = TokenReply.safeParse(parseJson(text));
  const token = parsed.success ? (parsed.data.token ?? parsed.data.access_token) : undefined;
  if (token === undefined) throw notFetched(named, "its token server gave no token");
  return token;
}

async function checked(answer: IncomingMessage, named: ImageReference): Promise<IncomingMessage> {
  const status = answer.statusCode ?? 0;
  if (status === 200) return answer;
  answer.destroy();
  if (status === 404) throw notFetched(named, `there is no ${named.repository}:${named.version}`);
  if (status === 401 || status === 403) throw notFetched(named, "it does not show this image to everybody");
  if (status === 429) throw notFetched(named, "it takes no more requests from this pod now");
  throw notFetched(named, `it answered ${String(status)}`);
}

async function reach(named: ImageReference, work: () => Promise<IncomingMessage>): Promise<IncomingMessage> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refused) throw notFetched(named, error.message);
    if (error instanceof Error && error.name === "AbortError") throw error;
    throw notFetched(named, error instanceof Error ? error.message : String(error), error);
  }
}

function notFetched(named: ImageReference, detail: string, cause?: unknown): BuildStopped {
  const text = `${named.registry}: ${detail}`.slice(0, 400);
  return new BuildStopped({ code: "image-not-fetched", detail: text }, cause === undefined ? {} : { cause });
}

async function readText(answer: IncomingMessage, maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBytes)
      throw new BuildStopped({
        code: "image-refused",
        detail: `what its registry says of it is longer than ${String(maxBytes)} bytes`,
      });
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
