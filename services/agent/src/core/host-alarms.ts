/** What an operator must look at on this host before it becomes a refusal: a disk that fills, a ceiling that nears. */
import type { Ceiling, HostAlarm } from "@berth/shared/domain/placement.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { HostIdentity, Measured } from "./capacity.ts";
import { ceilingAlarms } from "./measure-ceilings.ts";

const MOST_ALARMS = 20;
const MOST_LETTERS = 200;

export function hostAlarms(
  host: HostIdentity,
  measured: Measured,
  ceilings: readonly Ceiling[],
): HostAlarm[] {
  const alarms = [
    ...diskAlarms(host, measured),
    ...(measured.readings === null ? [] : ceilingAlarms(measured.readings, ceilings)),
  ];
  return alarms
    .slice(0, MOST_ALARMS)
    .map(({ code, detail }) => ({ code, detail: detail.slice(0, MOST_LETTERS) }));
}

function diskAlarms(host: HostIdentity, measured: Measured): HostAlarm[] {
  const percent = diskUsedPercent(measured);
  if (percent < host.diskAlarmPercent) return [];
  const { diskTotalBytes, diskFreeBytes, reclaimableBytes } = measured;
  const detail = `${Math.floor(percent)} % of ${formatBytes(diskTotalBytes)} used, ${formatBytes(diskFreeBytes)} free, unneeded images hold ${formatBytes(reclaimableBytes)}`;
  return [{ code: "disk-filling", detail }];
}

/** 0 while nothing was measured. What the file system keeps for root counts as used. */
export function diskUsedPercent(disk: {
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
}): number {
  if (disk.diskTotalBytes <= 0) return 0;
  return 100 * (1 - Math.min(disk.diskFreeBytes, disk.diskTotalBytes) / disk.diskTotalBytes);
}
