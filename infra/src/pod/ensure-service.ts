/** An org, an environment and a service, made where they are missing. */
import {
  createEnvironment,
  createOrg,
  createService,
  showService,
} from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import type { ServiceId } from "@berth/shared/domain/ids.ts";

export interface EnsuredService {
  readonly name: string;
  readonly id: ServiceId;
  readonly gitUrl: string;
  /** Where it answers, at every edge. */
  readonly url: string;
  readonly hostname: string;
}

interface Named {
  readonly org: string;
  readonly environment: string;
  readonly service: string;
}

export async function ensureService(api: ApiTarget, named: Named): Promise<EnsuredService> {
  const { org, environment, service } = named;
  await unlessTaken(callRoute(api, createOrg, { body: { name: org } }));
  await unlessTaken(callRoute(api, createEnvironment, { params: { org }, body: { name: environment } }));
  const body = { name: service, deployBranch: "main", healthPath: null };
  await unlessTaken(callRoute(api, createService, { params: { org, environment }, body }));
  const shown = await callRoute(api, showService, { params: named });
  return {
    name: service,
    id: shown.id,
    gitUrl: shown.gitUrl,
    url: shown.url,
    hostname: new URL(shown.url).hostname,
  };
}

async function unlessTaken(made: Promise<unknown>): Promise<void> {
  try {
    await made;
  } catch (error) {
    if ((error as { code?: unknown }).code !== "name-taken") throw error;
  }
}
