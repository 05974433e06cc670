/** What a repository's configuration changes of its service, in the transaction that makes the release. */
import type { ProcessTable } from "@berth/shared/contracts/build.ts";
import type { AppConfig } from "@berth/shared/domain/app-config.ts";
import { changePolicy } from "@berth/shared/domain/service-policy.ts";
import { configure, newSettings } from "../core/plan-processes.ts";
import { writeHttp } from "./http-store.ts";
import { readPolicy, writePolicy } from "./policy-store.ts";
import type { LockedService } from "./release-store.ts";
import { readSettings, writeSettings } from "./release-store.ts";
import type { Trx } from "./tables.ts";

export async function applyConfig(
  trx: Trx,
  service: LockedService,
  table: ProcessTable,
  { processes, placement, deploy, sleep, http }: AppConfig,
): Promise<void> {
  const known = await readSettings(trx, service.id);
  const added = newSettings(table, known, service.healthPath);
  // `web` has its row from the service's creation on, so before the first release everything is new.
  const first = new Set(
    (service.currentReleaseId === null ? [...known, ...added] : added).map((one) => one.process),
  );
  if (Object.keys(processes).length > 0)
    await writeSettings(trx, service.id, configure([...known, ...added], first, processes));
  if (http !== undefined) await writeHttp(trx, service.id, http);
  const change = { ...placement, ...deploy, sleepAfterMs: sleep.afterMs, sleepLevel: sleep.level };
  if (Object.values(change).every((one) => one === undefined)) return;
  const policy = await readPolicy(trx, service.id);
  if (policy === undefined) return;
  // A single writer never sleeps, whatever the file says: docs/BERTH-YAML.md.
  const given = policy.singleWriter ? { ...change, sleepAfterMs: undefined } : change;
  await writePolicy(trx, service.id, changePolicy(policy, given));
}
