/**
 * Objects in an S3 bucket. What must stay true: every request has a deadline and is tried a few times, a put becomes
 * visible with its last request only, and every error says which endpoint and which bucket.
 */

import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import {
  checkKey,
  isOwnErrorOf,
  ObjectMissing,
  type ObjectStore,
  ObjectStoreFailed,
} from "./object-store-types.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Limits {
  readonly connectTimeoutMs: number;
  /** From the start of one request to the head of its answer; a request carries at most 5 MB. */
  readonly requestTimeoutMs: number;
  /** Longest silence on a connection, so also inside an object that is being read. */
  readonly idleTimeoutMs: number;
  /** Tries per request, with growing pauses; refusals are not tried again. */
  readonly attemptsCount: number;
}

export interface S3Options {
  /** By default what the environment or the machine's role gives. */
  readonly credentials?: S3Credentials | undefined;
  readonly limits?: Partial<S3Limits>;
}

export interface S3Place {
  readonly bucket: string;
  /** Null: Amazon's own, found by region. */
  readonly endpoint: string | null;
  readonly region: string;
  readonly pathStyle: boolean;
  /** Certificates to trust instead of the system's. */
  readonly caFile: string | null;
}

const DEFAULT_LIMITS: S3Limits = {
  connectTimeoutMs: 5000,
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  attemptsCount: 4,
};
const PARAMETERS = ["endpoint", "region", "pathStyle", "caFile"];

/** @throws Error that names what is wrong in the URL */
export function parseS3Url(url: URL): S3Place {
  const wrong = (what: string): Error => new Error(`BERTH_OBJECT_STORE ${url.href}: ${what}`);
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.hostname))
    throw wrong(
      "write s3://BUCKET?endpoint=…, with a bucket of 3 to 63 lower-case letters, digits, dots, hyphens",
    );
  if (url.username !== "" || url.password !== "" || !["", "/"].includes(url.pathname))
    throw wrong(
      "only the bucket may stand before '?'; credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
  for (const name of url.searchParams.keys())
    if (!PARAMETERS.includes(name))
      throw wrong(`unknown parameter ${name}; there are ${PARAMETERS.join(", ")}`);
  const endpoint = url.searchParams.get("endpoint");
  if (endpoint !== null && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ""))
    throw wrong(`endpoint must be an http:// or https:// URL, not ${endpoint}`);
  return {
    bucket: url.hostname,
    endpoint,
    region: url.searchParams.get("region") ?? "us-east-1",
    pathStyle: url.searchParams.get("pathStyle") !== "false",
    caFile: url.searchParams.get("caFile"),
  };
}

export async function s3Store(place: S3Place, options: S3Options): Promise<ObjectStore> {
  const sdk = await import("@aws-sdk/client-s3");
  const { Upload } = await import("@aws-sdk/lib-storage");
  const client = new sdk.S3Client(await clientConfig(place, options));
  const at = (key: string): { Bucket: string; Key: string } => ({ Bucket: place.bucket, Key: checkKey(key) });
  return {
    async put(key, content) {
      const target = at(key);
      try {
        // One request up to 5 MB, above it parts: they become an object when the last request joins them.
        await new Upload({ client, params: { ...target, Body: content } }).done();
      } catch (cause) {
        if (isOwnErrorOf(content, cause)) throw cause;
        throw failure(place, `put ${key}`, cause);
      } finally {
        if (!Buffer.isBuffer(content)) content.destroy();
      }
    },
    async get(key) {
      const target = at(key);
      try {
        return bodyOf(await client.send(new sdk.GetObjectCommand(target)));
      } catch (cause) {
        if (isNamed(cause, "NoSuchKey")) throw new ObjectMissing(`the object store has no ${key}`, { cause });
        throw failure(place, `get ${key}`, cause);
      }
    },
    async exists(key) {
      const target = at(key);
      try {
        await client.send(new sdk.HeadObjectCommand(target));
        return true;
      } catch (cause) {
        if (isNamed(cause, "NotFound", "NoSuchKey")) return false;
        throw failure(place, `exists ${key}`, cause);
      }
    },
    async delete(key) {
      const target = at(key);
      try {
        await client.send(new sdk.DeleteObjectCommand(target));
      } catch (cause) {
        if (!isNamed(cause, "NoSuchKey")) throw failure(place, `delete ${key}`, cause);
      }
    },
  };
}

/** @throws ObjectStoreFailed when the bucket is not there or may not be used */
export async function checkBucket(place: S3Place, options: S3Options): Promise<void> {
  const { S3Client, HeadBucketCommand } = await import("@aws-sdk/client-s3");
  const client: S3Client = new S3Client(await clientConfig(place, options));
  try {
    await client.send(new HeadBucketCommand({ Bucket: place.bucket }));
  } catch (cause) {
    throw failure(place, "check", isNamed(cause, "NotFound") ? renamed(cause, "NoSuchBucket") : cause);
  } finally {
    client.destroy();
  }
}

async function clientConfig(place: S3Place, options: S3Options): Promise<S3ClientConfig> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const ca = place.caFile === null ? null : await readFile(place.caFile);
  return {
    region: place.region,
    forcePathStyle: place.pathStyle,
    maxAttempts: limits.attemptsCount,
    // The payload's SHA-256 or TLS guards the bytes. Checksum trailers are Amazon's own: other servers refuse them.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: limits.connectTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: limits.idleTimeoutMs,
      ...(ca === null ? {} : { httpsAgent: { ca } }),
    },
    ...(place.endpoint === null ? {} : { endpoint: place.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  };
}

function bodyOf(reply: { readonly Body?: unknown }): Readable {
  if (reply.Body instanceof Readable) return reply.Body;
  throw new Error("the answer has no body");
}

function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

function renamed(cause: unknown, name: string): Error {
  return Object.assign(new Error("there is no such bucket", { cause }), { name });
}

function failure(place: S3Place, what: string, cause: unknown): ObjectStoreFailed {
  const endpoint = place.endpoint ?? `Amazon S3 in ${place.region}`;
  const name = nameOf(cause);
  const told = cause instanceof Error ? cause.message : String(cause);
  const why = [...new Set([name, told])]
    .filter((part) => !["", "Error", "UnknownError"].includes(part))
    .join(": ");
  const next = whatToDo(name, statusOf(cause), place);
  return new ObjectStoreFailed(
    `object store ${endpoint}, bucket ${place.bucket}: ${what} failed: ${why}${next === "" ? "" : `. ${next}`}`,
    { cause },
  );
}

/** The answer to HEAD has no body, so its error has a status and no name. */
function nameOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  if ("code" in cause && typeof cause.code === "string") return cause.code;
  const status = statusOf(cause);
  return cause.name === "Unknown" && status !== null ? `HTTP ${status}` : cause.name;
}

function statusOf(cause: unknown): number | null {
  const metadata = cause instanceof Error && "$metadata" in cause ? cause.$metadata : null;
  const isObject = typeof metadata === "object" && metadata !== null && "httpStatusCode" in metadata;
  return isObject && typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : null;
}

function whatToDo(name: string, status: number | null, place: S3Place): string {
  const at = place.endpoint === null ? "" : ` --endpoint-url ${place.endpoint}`;
  switch (name) {
    case "NoSuchBucket":
      return `Make it, for example with: aws s3 mb s3://${place.bucket} --region ${place.region}${at}`;
    case "RequestTimeTooSkewed":
      return "Set this machine's clock";
    case "CredentialsProviderError":
      return "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    case "ECONNREFUSED":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "ETIMEDOUT":
    case "TimeoutError":
      return "See that the endpoint is right and that it answers from this machine";
  }
  if (status === 301 || status === 307) return `See that the bucket is in the region ${place.region}`;
  if (status === 401 || status === 403)
    return `Look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must hold here and allow reading, writing and deleting in ${place.bucket}`;
  return "";
}
