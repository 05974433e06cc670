/**
 * Which changed tables are told now. A network whose processes get more instances can wait a little: the names of many
 * that come one after another are told together (`growthRestMs`). Nothing else waits.
 */
import type { InstanceName } from "@berth/shared/contracts/network.ts";
import { type Deferred, deferred, growthRestMs } from "@berth/shared/domain/growth-rest.ts";
import { type NetworkContent, sameContent, type Table } from "./plan-tables.ts";

export interface ToldTable extends Table {
  /** Since this version was made. */
  readonly ageMs: number;
}

/** @param changed as `planTables` made them from `told` */
export function deferNames(changed: readonly Table[], told: ReadonlyMap<string, ToldTable>): Deferred<Table> {
  return deferred(changed, (table) => waitMs(table, told.get(table.name)));
}

function waitMs(table: Table, told: ToldTable | undefined): number {
  if (told === undefined || table.name === "mesh") return 0;
  const [before, after] = [told.content, table.content] as [NetworkContent, NetworkContent];
  return onlyGrew(before, after) ? growthRestMs(before.names.length, told.ageMs) : 0;
}

/** True when it is the network of before once the names that are new are taken away, and no process got its first one. */
function onlyGrew(before: NetworkContent, after: NetworkContent): boolean {
  const had = new Set(before.names.map(instanceOf));
  const processes = new Set(before.names.map(processOf));
  if (!after.names.every((name) => processes.has(processOf(name)))) return false;
  const kept = after.names.filter((name) => had.has(instanceOf(name)));
  return sameContent(before, { ...after, names: kept });
}

function processOf({ service, process }: InstanceName): string {
  return `${service} ${process}`;
}

function instanceOf(name: InstanceName): string {
  return `${processOf(name)} ${name.slot} ${name.address}`;
}
