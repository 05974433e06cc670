/**
 * Many JSON documents as one parameter: `string_to_table(…, E'\\n')` takes them apart. JSON has no line break within a
 * document that `JSON.stringify` made, so nothing is escaped, which costs more than the documents in an array's literal.
 */
export function jsonLines(documents: readonly unknown[]): string {
  return documents.map((one) => JSON.stringify(one)).join("\n");
}
