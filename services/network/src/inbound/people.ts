/** People's machines: added and removed. Every host is told before the answer leaves. */
import type { AddPersonPeer, RemovePersonPeer } from "@berth/shared/contracts/network.ts";
import type { z } from "zod";
import { addPerson, removePerson } from "../outbound/people-store.ts";
import type { TablesGiven } from "./reconcile-tables.ts";

export function onAddPersonPeer(given: TablesGiven) {
  return async (
    asked: z.infer<typeof AddPersonPeer.payload>,
  ): Promise<z.infer<typeof AddPersonPeer.reply>> => {
    const added = await addPerson(given.db, asked, given.pools);
    if (added.answer === "added")
      await given.reconcileOf({ environments: [asked.environmentId], mesh: false });
    return added;
  };
}

export function onRemovePersonPeer(given: TablesGiven) {
  return async (
    asked: z.infer<typeof RemovePersonPeer.payload>,
  ): Promise<z.infer<typeof RemovePersonPeer.reply>> => {
    const removed = await removePerson(given.db, asked);
    if (removed) await given.reconcileOf({ environments: [asked.environmentId], mesh: false });
    return { removed };
  };
}
