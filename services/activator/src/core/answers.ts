/** What the activator itself answers: it names no tenant, and says when to come again. */
const page = (title: string, text: string): string =>
  `<!doctype html><meta charset="utf-8"><title>${title}</title><h1>${title}</h1><p>${text}</p>`;

const BUSY = page("Not ready yet", "The app is being started. Please try again in a few seconds.");
const BAD = page("Bad request", "The request's head could not be read.");
const UNKNOWN = page(
  "Nothing here",
  "No app answers to this host name. Check the address for a typing error.",
);

export type Refusal = "busy" | "bad" | "unknown";

export function answer(refusal: Refusal): string {
  switch (refusal) {
    case "busy":
      return response("503 Service Unavailable", BUSY, "Retry-After: 5\r\n");
    case "bad":
      return response("400 Bad Request", BAD, "");
    case "unknown":
      return response("404 Not Found", UNKNOWN, "");
  }
}

function response(status: string, body: string, more: string): string {
  const length = Buffer.byteLength(body);
  const fixed = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nConnection: close\r\n";
  return `HTTP/1.1 ${status}\r\n${fixed}${more}Content-Length: ${length}\r\n\r\n${body}`;
}
