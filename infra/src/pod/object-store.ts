/**
 * An object store in S3 is looked at before anything starts, with the credentials that the services will have.
 * A store that is new to this pod must work. One that worked before must not hold up a restart when it is away:
 * apps need it for no request, only pushes do.
 */
import { checkObjectStore } from "@berth/shared/kit/object-store.ts";
import type { Progress } from "../progress.ts";
import type { PodSettings } from "./settings.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws ObjectStoreFailed that says what to do, when the store is new to this pod and cannot be used */
export async function assertObjectStore(
  settings: PodSettings,
  storedUrl: unknown,
  environment: Environment,
  progress: Progress,
): Promise<void> {
  const url = settings.objectStore;
  if (url?.startsWith("s3:") !== true) return;
  try {
    await checkObjectStore(url, { credentials: credentialsOf(environment) });
    progress(`object store ${url} can be written and read`);
  } catch (error) {
    if (url !== storedUrl) throw error;
    progress(`WARNING: ${String(error)}. Pushes fail until this is mended; the rest starts.`);
  }
}

function credentialsOf(environment: Environment) {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  // Undefined: the machine's own role, if it has one.
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const { AWS_SESSION_TOKEN: sessionToken } = environment;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
