/**
 * The registry's HTTP API, for one thing: giving a service's repository the stack's layer without sending it again.
 *
 * The stack is pushed once, to `berth/stack`. Before a service's first image is pushed, the layer is mounted from
 * there into the service's repository; the engine then finds it and sends only what is new. All of this saves time
 * and nothing depends on it: without it a push takes some ten seconds longer.
 */
export const STACK_REPOSITORY = "berth/stack";

const MANIFEST =
  "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
const TIMEOUT_MS = 10_000;

export interface RegistryGiven {
  readonly registryUrl: string;
  readonly token: string;
  readonly signal: AbortSignal;
}

/** Digests of the layers of an image of the stack's repository; empty when it is not there. */
export async function readStackLayers(given: RegistryGiven, tag: string): Promise<readonly string[]> {
  const answer = await call(given, "GET", `/v2/${STACK_REPOSITORY}/manifests/${tag}`);
  if (answer.status === 404) return [];
  if (!answer.ok) throw new Error(`the registry answered ${String(answer.status)} for the stack's manifest`);
  const manifest = (await answer.json()) as { layers?: readonly { digest?: unknown }[] };
  return (manifest.layers ?? []).flatMap(({ digest }) =>
    typeof digest === "string" && /^sha256:[0-9a-f]{64}$/.test(digest) ? [digest] : [],
  );
}

/** @returns whether the repository has the layer now */
export async function mountStackLayer(
  given: RegistryGiven,
  repository: string,
  digest: string,
): Promise<boolean> {
  const there = await call(given, "HEAD", `/v2/${repository}/blobs/${digest}`);
  if (there.ok) return true;
  const query = new URLSearchParams({ mount: digest, from: STACK_REPOSITORY });
  const answer = await call(given, "POST", `/v2/${repository}/blobs/uploads/?${query.toString()}`);
  if (answer.status === 202) {
    // Not mounted; the registry opened an upload instead, which nobody will use.
    const upload = answer.headers.get("location");
    if (upload !== null)
      await call(given, "DELETE", new URL(upload, given.registryUrl).pathname).catch(() => undefined);
  }
  return answer.status === 201;
}

async function call(given: RegistryGiven, method: string, path: string): Promise<Response> {
  return await fetch(new URL(path, given.registryUrl), {
    method,
    headers: { authorization: `Bearer ${given.token}`, accept: MANIFEST },
    redirect: "error",
    signal: AbortSignal.any([given.signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
}
