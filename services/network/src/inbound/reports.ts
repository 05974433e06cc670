/** What hosts report of their tunnels and hold to, kept as they said it last; and who asks for it. */
import type {
  NetworkApplied,
  NetworkHeld,
  NetworkReport,
  RotateNetworkKeys,
  ShowNetwork,
} from "@berth/shared/contracts/network.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { isHeld, storeApplied } from "../outbound/applied-store.ts";
import { askNewKeys } from "../outbound/member-store.ts";
import { presentPeople } from "../outbound/people-store.ts";
import { readReports, storeReport } from "../outbound/report-store.ts";
import { readTables } from "../outbound/table-store.ts";
import type { NetworkTables } from "../outbound/tables.ts";
import type { TablesGiven } from "./reconcile-tables.ts";

export function onNetworkReport(db: Kysely<NetworkTables>) {
  return (report: z.infer<typeof NetworkReport.payload>): Promise<void> => storeReport(db, report);
}

export function onNetworkApplied(db: Kysely<NetworkTables>) {
  return (applied: z.infer<typeof NetworkApplied.payload>): Promise<void> => storeApplied(db, applied);
}

/** What was stored a moment ago is told to the hosts first, so that an old version does not count. */
export function onNetworkHeld(given: TablesGiven) {
  return async ({
    environmentId,
  }: z.infer<typeof NetworkHeld.payload>): Promise<z.infer<typeof NetworkHeld.reply>> => {
    await given.reconcileOf({ environments: [environmentId], mesh: false });
    return { isHeld: await isHeld(given.db, environmentId) };
  };
}

export function onShowNetwork(db: Kysely<NetworkTables>) {
  return async ({
    environmentId,
  }: z.infer<typeof ShowNetwork.payload>): Promise<z.infer<typeof ShowNetwork.reply>> => {
    const { networks } = await readTables(db, [environmentId]);
    const network = networks[0] ?? null;
    const members = new Set<string>(network?.members.map(({ hostId }) => hostId));
    const reports = (await readReports(db)).filter(({ hostId }) => members.has(hostId));
    const people = (await presentPeople.execute(db)).rows.filter(
      (one) => one.environmentId === environmentId,
    );
    return {
      network,
      people: people.map(({ environmentId: _its, ...person }) => person),
      reports: reports.map(({ tunnels, ...report }) => ({
        ...report,
        tunnels: tunnels.filter((tunnel) => tunnel.environmentId === environmentId),
      })),
    };
  };
}

/** The members are told at once; each makes its key and joins with it. */
export function onRotateNetworkKeys(given: TablesGiven) {
  return async ({
    environmentId,
  }: z.infer<typeof RotateNetworkKeys.payload>): Promise<z.infer<typeof RotateNetworkKeys.reply>> => {
    const keyGeneration = await askNewKeys(given.db, environmentId);
    if (keyGeneration !== null) await given.reconcileOf({ environments: [environmentId], mesh: false });
    return { keyGeneration };
  };
}
