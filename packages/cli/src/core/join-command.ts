/** The words after `--` as one command for a shell: each word stays one word, as it was typed. */

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One word alone is a command line already: `berth run shop -- "ls -l | wc"`. */
export function joinCommand(words: readonly string[]): string {
  const [only, ...more] = words;
  if (only !== undefined && more.length === 0) return only;
  return words.map((word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
