/** Pods: list, make, and set their strategy. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { audited } from "../../outbound/audited.ts";
import { noPod, readPod, readPods } from "../../outbound/pod-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { violatedConstraint } from "../../outbound/tables.ts";
import type { Asked, Handlers } from "./handler.ts";

export function podHandlers({ db }: { db: Db }): Pick<Handlers, "listPods" | "createPod" | "changePod"> {
  return {
    listPods: async () => ({ pods: await readPods(db) }),
    createPod: async (asked) => {
      await createPod(db, asked);
      return readPod(db, asked.body.name);
    },
    changePod: async ({ params, body, actor }) => {
      await audited(db, actor, async (trx) => {
        const changed = await trx
          .updateTable("pods")
          .set({ strategy: body.strategy })
          .where("name", "=", params.pod)
          .executeTakeFirst();
        if (changed.numUpdatedRows === 0n) throw noPod(params.pod);
        return {
          result: null,
          act: { action: "pod.changed", target: params.pod, orgId: null, details: body },
        };
      });
      return readPod(db, params.pod);
    },
  };
}

async function createPod(db: Db, { body, actor }: Asked<"createPod">): Promise<void> {
  try {
    await audited(db, actor, async (trx) => {
      await trx.insertInto("pods").values(body).execute();
      return { result: null, act: { action: "pod.created", target: body.name, orgId: null, details: body } };
    });
  } catch (error) {
    if (violatedConstraint(error) === null) throw error;
    throw new BerthError("name-taken", `there is already a pod named ${body.name}`, { cause: error });
  }
}
