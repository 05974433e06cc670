/** Renders docs/EVENTS.md and docs/ERRORS.md from the contracts. `node test/contracts/write-docs.ts` writes them. */
import { contractRegistry } from "@berth/shared/contracts/all.ts";
import { ERRORS } from "@berth/shared/contracts/errors.ts";
import { permissionsFor } from "@berth/shared/contracts/permissions.ts";
import { STREAMS } from "@berth/shared/contracts/streams.ts";

const HEAD =
  "<!-- Written by test/contracts/write-docs.ts from packages/shared/src/contracts. Do not edit. -->\n\n";

export function renderEvents(): string {
  const lines = [`${HEAD}# Events, signals and requests`, ""];
  lines.push(
    "An **event** is a fact in the past tense, kept in a JetStream stream; it leaves through the outbox and may be lost with the whole store:",
    "PostgreSQL is the record. A **signal** may be lost at any time. A **request** has one answer and a deadline.",
    "`{tokens}` of a subject equal the payload's fields of the same name, checked at both ends.",
    "",
  );
  for (const kind of ["event", "signal", "request"] as const) {
    lines.push(
      `## ${kind[0]?.toUpperCase()}${kind.slice(1)}s`,
      "",
      "| name | subject | from | to | about |",
      "|---|---|---|---|---|",
    );
    const contracts = contractRegistry().filter((contract) => contract.kind === kind);
    for (const one of contracts.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const where =
        one.kind === "event"
          ? `${one.subject}\` in ${one.stream}`
          : one.kind === "request"
            ? `${one.subject}\` within ${one.timeoutMs} ms`
            : `${one.subject}\``;
      lines.push(
        `| ${one.name} | \`${where} | ${one.emittedBy.join(", ")} | ${one.consumedBy.join(", ")} | ${one.about} |`,
      );
    }
    lines.push("");
  }
  lines.push("## Streams", "", "| stream | subjects | kept | at most | when full |", "|---|---|---|---|---|");
  for (const stream of STREAMS) {
    const full = stream.discard === "new" ? "refuses new facts; the outbox waits" : "drops the oldest";
    lines.push(
      `| ${stream.name} | ${stream.subjects.map((subject) => `\`${subject}\``).join(" ")} | ${stream.maxAgeMs / 3_600_000} h | ${stream.maxBytes / 1024 ** 2} MiB | ${full} |`,
    );
  }
  lines.push(
    "",
    "## What a host's agent may do",
    "",
    "Derived from the contracts, as for every process: allow-lists only, confined to its own id.",
    "",
  );
  const agent = permissionsFor("agent", "HOST");
  lines.push(
    "```",
    ...agent.publish.map((subject) => `publish    ${subject}`),
    ...agent.subscribe.map((subject) => `subscribe  ${subject}`),
    "```",
    "",
  );
  return lines.join("\n");
}

export function renderErrors(): string {
  const lines = [
    `${HEAD}# Errors`,
    "",
    "Every error that a person or a program can see. `later` may pass by itself; `never` fails again with the same input.",
    "",
  ];
  lines.push("| code | HTTP | retry | who acts | meaning | what to do |", "|---|---|---|---|---|---|");
  for (const [code, entry] of Object.entries(ERRORS)) {
    lines.push(
      `| \`${code}\` | ${entry.status} | ${entry.retry} | ${entry.who} | ${entry.meaning} | ${entry.next} |`,
    );
  }
  return `${lines.join("\n")}\n`;
}
