/** Follows a deploy with `berth deploys watch` and tells how it ended. */
import type { Customer, Replies } from "./customer.ts";

export async function watchToEnd(customer: Customer, deployId: string): Promise<Replies["deploy"]["deploy"]> {
  const watched = await customer.tryBerth(["deploys", "watch", deployId]).ended;
  const { deploy } = await customer.json("deploy", ["deploys", "show", deployId]);
  if (!deploy.final)
    throw new Error(`berth deploys watch ended while the deploy is ${deploy.state}: ${watched.output}`);
  return deploy;
}
