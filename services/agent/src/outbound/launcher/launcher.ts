/**
 * The agent's small helper process: starts programs for it and says how they ended. It ends when the agent does.
 *
 * A process that starts a program copies its own page tables first. For an agent of 200 MB this took 5.6 ms of CPU and
 * stopped everything else in it for longer; here it takes 1 ms.
 */
import { type ProgramOrder, runProgram } from "./run-program.ts";

export type LauncherOrder = ProgramOrder & { readonly id: number };

process.on("disconnect", () => process.exit(0));
process.on("message", (order: LauncherOrder) => {
  void runProgram(order).then((result) => process.send?.({ ...result, id: order.id }, () => {}));
});
// Whoever interrupts the agent from a terminal reaches this process too; the agent still needs it while it ends.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
