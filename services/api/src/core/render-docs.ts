/** Renders the OpenAPI document as one readable page without scripts: safe under a policy that allows none. */

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
}

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly { name: string; in: string; required?: boolean; schema?: Schema }[];
  readonly requestBody?: { content?: Readonly<Record<string, { schema?: Schema }>> };
  readonly responses?: Readonly<Record<string, { content?: Readonly<Record<string, { schema?: Schema }>> }>>;
}

export interface OpenApi {
  readonly info: { title: string; version: string; description?: string };
  readonly paths?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const METHODS = ["get", "post", "put", "patch", "delete"] as const;

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
nav li{list-style:none}nav ul{padding:0}a{color:#0b5394;text-decoration:none}h2{margin-top:2.5rem;border-top:1px solid #d0d7de;padding-top:1rem}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f6f8fa;padding:.8rem;overflow:auto}
.m{display:inline-block;min-width:4.2rem;font-weight:600}table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}`;

export interface ErrorRow {
  readonly code: string;
  readonly status: number;
  readonly meaning: string;
  readonly next: string;
}

export function renderDocs(api: OpenApi, errors: readonly ErrorRow[]): string {
  const operations = listOperations(api);
  const contents = operations.map(
    ({ method, path, operation }) =>
      `<li><a href="#${escapeHtml(operation.operationId ?? path)}"><code><span class="m">${method.toUpperCase()}</span>${escapeHtml(path)}</code></a> ${escapeHtml(operation.summary ?? "")}</li>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(api.info.title)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(api.info.title)}</h1><p>${escapeHtml(api.info.description ?? "")} The machine-readable form is <a href="/openapi.json">/openapi.json</a>. Errors have the form <code>{"code","message","next","requestId"}</code>.</p>
<nav><ul>${contents.join("\n")}<li><a href="#errors">Error codes</a></li></ul></nav>
${operations.map(renderOperation).join("\n")}
<h2 id="errors">Error codes</h2><table><tr><th>code</th><th>status</th><th>meaning</th><th>what to do</th></tr>
${errors.map((row) => `<tr><td><code>${escapeHtml(row.code)}</code></td><td>${row.status}</td><td>${escapeHtml(row.meaning)}</td><td>${escapeHtml(row.next)}</td></tr>`).join("\n")}
</table></body></html>`;
}

function listOperations(api: OpenApi): { method: string; path: string; operation: Operation }[] {
  return Object.entries(api.paths ?? {}).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method] !== undefined).map((method) => ({
      method,
      path,
      operation: item[method] as Operation,
    })),
  );
}

function renderOperation({
  method,
  path,
  operation,
}: {
  method: string;
  path: string;
  operation: Operation;
}): string {
  const parameters = (operation.parameters ?? []).map(
    (p) =>
      `<tr><td><code>${escapeHtml(p.name)}</code></td><td>${p.in}</td><td><code>${escapeHtml(describe(p.schema ?? {}, 0))}</code></td></tr>`,
  );
  const body = firstSchema(operation.requestBody?.content);
  const reply = firstSchema(operation.responses?.["200"]?.content);
  return [
    `<h2 id="${escapeHtml(operation.operationId ?? path)}">${escapeHtml(operation.summary ?? path)}</h2>`,
    `<p><code><span class="m">${method.toUpperCase()}</span>${escapeHtml(path)}</code><br>${escapeHtml(operation.description ?? "")}</p>`,
    parameters.length > 0 ? `<table>${parameters.join("")}</table>` : "",
    body === undefined ? "" : `<p>Body</p><pre>${escapeHtml(describe(body, 0))}</pre>`,
    reply === undefined ? "" : `<p>Answer</p><pre>${escapeHtml(describe(reply, 0))}</pre>`,
  ].join("\n");
}

function firstSchema(content: Readonly<Record<string, { schema?: Schema }>> | undefined): Schema | undefined {
  return Object.values(content ?? {})[0]?.schema;
}

const MAX_DEPTH = 8;

/** A schema as a shape that a person reads: `{ name: string, scale?: integer }`. */
export function describe(schema: Schema, depth: number): string {
  if (depth > MAX_DEPTH) return "…";
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return choices.map((choice) => describe(choice, depth)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.properties !== undefined) return describeObject(schema.properties, schema.required ?? [], depth);
  if (schema.items !== undefined) return `[${describe(schema.items, depth)}]`;
  const type = typeof schema.type === "string" ? schema.type : (schema.type ?? ["any"]).join(" | ");
  const limits = [
    schema.minimum !== undefined && schema.minimum > -(2 ** 53) + 1 ? `≥ ${schema.minimum}` : "",
    schema.maximum !== undefined && schema.maximum < 2 ** 53 - 1 ? `≤ ${schema.maximum}` : "",
    schema.maxLength === undefined ? "" : `≤ ${schema.maxLength} characters`,
    schema.default === undefined ? "" : `default ${JSON.stringify(schema.default)}`,
  ].filter((text) => text !== "");
  return limits.length === 0 ? type : `${type} (${limits.join(", ")})`;
}

function describeObject(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[],
  depth: number,
): string {
  const indent = "  ".repeat(depth + 1);
  const lines = Object.entries(properties).map(
    ([name, schema]) =>
      `${indent}${name}${required.includes(name) ? "" : "?"}: ${describe(schema, depth + 1)}`,
  );
  return lines.length === 0 ? "{}" : `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
