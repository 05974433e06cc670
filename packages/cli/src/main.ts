/**
 * The `berth` command. Only the code of the command that was asked for is loaded, so that `berth whoami` does not
 * wait for what `berth up` needs. Exit codes: 1 failed, 2 wrong use, 3 not logged in, 4 not found.
 */
import { Command, CommanderError } from "commander";
import { printError } from "./output/print.ts";
import { CliError, EXIT } from "./session/cli-error.ts";

interface Group {
  readonly names: readonly string[];
  readonly register: (program: Command) => Promise<void>;
}

const GROUPS: readonly Group[] = [
  {
    names: ["login", "logout", "whoami", "git-credential"],
    register: async (program) => (await import("./commands/session.ts")).registerSessionCommands(program),
  },
  {
    names: ["orgs", "environments", "envs"],
    register: async (program) => (await import("./commands/orgs.ts")).registerOrgCommands(program),
  },
  {
    names: ["services", "git-remote", "open"],
    register: async (program) => (await import("./commands/services.ts")).registerServiceCommands(program),
  },
  {
    names: ["deploys"],
    register: async (program) => (await import("./commands/deploys.ts")).registerDeployCommands(program),
  },
  {
    names: ["deploy", "registry"],
    register: async (program) => (await import("./commands/images.ts")).registerImageCommands(program),
  },
  {
    names: ["releases", "rollback", "redeploy", "restart"],
    register: async (program) => (await import("./commands/releases.ts")).registerReleaseCommands(program),
  },
  {
    names: ["cron", "run", "tasks"],
    register: async (program) => (await import("./commands/tasks.ts")).registerTaskCommands(program),
  },
  {
    names: ["sleep", "wake"],
    register: async (program) => (await import("./commands/sleep.ts")).registerSleepCommands(program),
  },
  {
    names: ["config"],
    register: async (program) => (await import("./commands/config.ts")).registerConfigCommand(program),
  },
  {
    names: ["maintenance"],
    register: async (program) =>
      (await import("./commands/maintenance.ts")).registerMaintenanceCommands(program),
  },
  {
    names: ["scale"],
    register: async (program) => (await import("./commands/scale.ts")).registerScaleCommand(program),
  },
  {
    names: ["vars"],
    register: async (program) => (await import("./commands/vars.ts")).registerVarsCommands(program),
  },
  {
    names: ["logs"],
    register: async (program) => (await import("./commands/logs.ts")).registerLogsCommand(program),
  },
  {
    names: ["tunnel"],
    register: async (program) => (await import("./commands/tunnel.ts")).registerTunnelCommand(program),
  },
  {
    names: ["status", "why"],
    register: async (program) => (await import("./commands/status.ts")).registerStatusCommands(program),
  },
  {
    names: ["events"],
    register: async (program) => (await import("./commands/events.ts")).registerEventsCommand(program),
  },
  {
    names: ["pods"],
    register: async (program) => (await import("./commands/pods.ts")).registerPodsCommands(program),
  },
  {
    names: ["network"],
    register: async (program) => (await import("./commands/networks.ts")).registerNetworkCommands(program),
  },
  {
    names: ["allow"],
    register: async (program) => (await import("./commands/allow.ts")).registerAllowCommands(program),
  },
  {
    names: ["egress"],
    register: async (program) => (await import("./commands/egress.ts")).registerEgressCommands(program),
  },
  {
    names: ["certs"],
    register: async (program) => (await import("./commands/certs.ts")).registerCertificateCommands(program),
  },
  {
    names: ["domains"],
    register: async (program) => (await import("./commands/domains.ts")).registerDomainCommands(program),
  },
  {
    names: ["links"],
    register: async (program) => (await import("./commands/links.ts")).registerLinkCommands(program),
  },
  {
    names: ["hosts"],
    register: async (program) => (await import("./commands/hosts.ts")).registerHostCommands(program),
  },
  {
    names: ["rebalance"],
    register: async (program) => (await import("./commands/rebalance.ts")).registerRebalanceCommand(program),
  },
  {
    names: ["alarms"],
    register: async (program) => (await import("./commands/alarms.ts")).registerAlarmCommand(program),
  },
  { names: ["up", "down", "reset", "host"], register: registerPod },
  {
    names: ["lab"],
    register: async (program) => (await import("./commands/lab.ts")).registerLabCommands(program),
  },
  {
    names: ["demo", "test", "bench"],
    register: async (program) => (await import("./commands/dev.ts")).registerDevCommands(program),
  },
];

/** `berth status` means a service too, so the pod's own is reached through `commands/status.ts`. */
async function registerPod(program: Command): Promise<void> {
  const { registerPodCommands } = await import("./commands/pod.ts");
  const pod = new Command();
  registerPodCommands(pod);
  for (const command of pod.commands) if (command.name() !== "status") program.addCommand(command);
}

async function makeProgram(words: readonly string[]): Promise<Command> {
  const program = new Command("berth")
    .description("Push code, get a running app, on your own machines.")
    .version("0.1.0")
    .addHelpText(
      "after",
      "\nStart here: berth login, berth services create NAME, berth git-remote add NAME, git push berth main",
    )
    .showHelpAfterError("(add --help for the command's options and examples)")
    .showSuggestionAfterError()
    .exitOverride();
  const wanted = words.find((word) => !word.startsWith("-"));
  const group = GROUPS.find(({ names }) => wanted !== undefined && names.includes(wanted));
  for (const one of group === undefined ? GROUPS : [group]) await one.register(program);
  if (group === undefined) (await import("./commands/completion.ts")).registerCompletionCommand(program);
  inherit(program);
  return program;
}

/** Commands that were added as objects have not taken over the settings of the program. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
}

async function main(words: readonly string[]): Promise<void> {
  try {
    const program = await makeProgram(words);
    if (words.length === 0) program.help();
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage; // commander printed it
    } else if (error instanceof CliError) {
      printError(error);
      process.exitCode = error.exitCode;
    } else {
      const message = error instanceof Error ? error.message : String(error);
      printError(new CliError(message));
      if (process.env.BERTH_DEBUG !== undefined) console.error(error);
      process.exitCode = EXIT.failed;
    }
  }
}

// A reader that has enough (`berth logs | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) =>
  process.exit(error.code === "EPIPE" ? 0 : EXIT.failed),
);
await main(process.argv.slice(2));
