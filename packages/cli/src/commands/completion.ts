/** `berth completion SHELL`: a script with every command and option, made from the commands themselves. */
import type { Command } from "commander";
import type { CommandTree } from "../core/render-completion.ts";
import { renderCompletion } from "../core/render-completion.ts";
import { print } from "../output/print.ts";
import { usageError } from "../session/cli-error.ts";
import { examples } from "./common.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export function registerCompletionCommand(program: Command): void {
  examples(
    program
      .command("completion <shell>")
      .description("a completion script for bash, zsh or fish")
      .action((shell: string) => {
        const known = SHELLS.find((one) => one === shell);
        if (known === undefined)
          throw usageError(`there is no completion for ${shell}`, `There is one for ${SHELLS.join(", ")}.`);
        print(renderCompletion(known, treeOf(program)));
      }),
    "berth completion bash > /etc/bash_completion.d/berth",
    'eval "$(berth completion zsh)"',
    "berth completion fish > ~/.config/fish/completions/berth.fish",
  );
}

function treeOf(command: Command): CommandTree {
  const visible = command.createHelp();
  return {
    name: command.name(),
    about: command.description(),
    options: visible
      .visibleOptions(command)
      .flatMap((option) => (option.long === undefined || option.long === null ? [] : [option.long])),
    children: visible.visibleCommands(command).map(treeOf),
  };
}
