/** Puts an image into the service's repository of the pod's registry: blobs that are missing, then the manifest. */
import { type IncomingMessage, type RequestOptions, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BuildStopped } from "../core/build-stopped.ts";
import type { Blob } from "../core/read-image.ts";

const SILENCE_MS = 60_000;

export interface TargetGiven {
  /** `https://host:port` */
  readonly registryUrl: string;
  readonly repository: string;
  readonly token: string;
  readonly signal: AbortSignal;
}

export async function hasBlob(given: TargetGiven, digest: string): Promise<boolean> {
  const answer = await call(given, "HEAD", `blobs/${digest}`);
  answer.resume();
  return answer.statusCode === 200;
}

/** @param open called once the registry waits for the bytes. The registry itself checks the digest */
export async function putBlob(
  given: TargetGiven,
  { digest, size }: Blob,
  open: () => Promise<Readable>,
): Promise<void> {
  const begun = await call(given, "POST", "blobs/uploads/", { "content-length": "0" });
  begun.resume();
  const location = begun.headers.location;
  if (begun.statusCode !== 202 || location === undefined) throw notStored(begun);
  const url = new URL(location, given.registryUrl);
  if (url.origin !== given.registryUrl)
    throw new BuildStopped({ code: "push-failed", detail: `the registry sends uploads to ${url.host}` });
  url.searchParams.set("digest", digest);
  const headers = { "content-length": String(size), "content-type": "application/octet-stream" };
  const stored = await send(given, "PUT", url, headers, (await open()).pipe(exactly(size)));
  stored.resume();
  if (stored.statusCode === 400)
    throw new BuildStopped({ code: "image-refused", detail: `its part ${digest} is not what its name says` });
  if (stored.statusCode !== 201) throw notStored(stored);
}

export async function putManifest(
  given: TargetGiven,
  tag: string,
  { mediaType, text }: { readonly mediaType: string; readonly text: string },
): Promise<void> {
  const body = Buffer.from(text);
  const headers = { "content-length": String(body.length), "content-type": mediaType };
  const url = new URL(`/v2/${given.repository}/manifests/${tag}`, given.registryUrl);
  const stored = await send(given, "PUT", url, headers, Readable.from([body]));
  stored.resume();
  if (stored.statusCode !== 201) throw notStored(stored);
}

function notStored(answer: IncomingMessage): BuildStopped {
  const detail = `the registry answered ${String(answer.statusCode)}`;
  return new BuildStopped({ code: "push-failed", detail });
}

/** Lets exactly so many bytes through: more is cut off with an error, less ends in one. */
function exactly(size: number): Transform {
  let left = size;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      if (left < 0) done(new Error("the image's registry sent more than it said"));
      else done(null, chunk);
    },
    flush(done) {
      done(left === 0 ? null : new Error("the image's registry sent less than it said"));
    },
  });
}

function call(
  given: TargetGiven,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<IncomingMessage> {
  const url = new URL(`/v2/${given.repository}/${path}`, given.registryUrl);
  return send(given, method, url, headers, Readable.from([]));
}

async function send(
  { token, signal }: TargetGiven,
  method: string,
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: Readable,
): Promise<IncomingMessage> {
  const open = url.protocol === "https:" ? requestTls : requestPlain;
  const options: RequestOptions = {
    ...{ method, signal, agent: false, timeout: SILENCE_MS },
    headers: { ...headers, authorization: `Bearer ${token}` },
  };
  const outgoing = open(url, options);
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on("response", resolve);
    outgoing.on("error", reject);
    outgoing.on("timeout", () => outgoing.destroy(new Error("the registry or the image's source is silent")));
  });
  const [answer] = await Promise.all([answered, pipeline(body, outgoing)]);
  return answer;
}
