/** Shell completion scripts from a tree of commands. Names are the CLI's own: letters, digits and hyphens. */

export interface CommandTree {
  readonly name: string;
  readonly about: string;
  readonly options: readonly string[];
  readonly children: readonly CommandTree[];
}

export function renderCompletion(shell: "bash" | "zsh" | "fish", tree: CommandTree): string {
  if (shell === "bash") return bash(tree);
  if (shell === "zsh") return `autoload -Uz bashcompinit && bashcompinit\n${bash(tree)}`;
  return fish(tree);
}

/** Paths such as `services create` with the words that may follow. */
function paths(tree: CommandTree, path: readonly string[] = []): { path: string; words: string[] }[] {
  const words = [...tree.children.map((child) => child.name), ...tree.options];
  return [
    { path: path.join(" "), words },
    ...tree.children.flatMap((child) => paths(child, [...path, child.name])),
  ];
}

function bash(tree: CommandTree): string {
  const cases = paths(tree).map(({ path, words }) => `    "${path}") words="${words.join(" ")}" ;;`);
  return `_berth() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) _berth_words "\${path:+$path }$word" && path="\${path:+$path }$word" ;; esac
  done
  _berth_words "$path"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
_berth_words() {
  case "$1" in
${cases.join("\n")}
    *) return 1 ;;
  esac
}
complete -o default -F _berth berth`;
}

function fish(tree: CommandTree): string {
  const lines = ["complete -c berth -f"];
  for (const child of tree.children) {
    lines.push(`complete -c berth -n __fish_use_subcommand -a ${child.name} -d ${quote(child.about)}`);
    const inChild = `__fish_seen_subcommand_from ${child.name}`;
    const names = child.children.map((grandchild) => grandchild.name);
    for (const option of child.options)
      lines.push(`complete -c berth -n ${quote(inChild)} -l ${option.slice(2)}`);
    for (const grandchild of child.children) {
      lines.push(
        `complete -c berth -n ${quote(`${inChild}; and not __fish_seen_subcommand_from ${names.join(" ")}`)} -a ${grandchild.name} -d ${quote(grandchild.about)}`,
      );
      const inGrandchild = `${inChild}; and __fish_seen_subcommand_from ${grandchild.name}`;
      for (const option of grandchild.options)
        lines.push(`complete -c berth -n ${quote(inGrandchild)} -l ${option.slice(2)}`);
    }
  }
  return lines.join("\n");
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
