/** A lot of a batch, as the scheduler puts it up. */
import type { DeployId, HostId } from "@berth/shared/domain/ids.ts";
import type { Lot, Refusal } from "@berth/shared/domain/placement.ts";

export interface BatchLot extends Lot {
  readonly slot: number;
  readonly deployId: DeployId;
  /** Hosts that declined this job in this round, with what they said. */
  readonly declinedBy: ReadonlyMap<HostId, Refusal>;
}
