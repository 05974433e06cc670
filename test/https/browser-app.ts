/** The app that a real browser visits: a page that tries what pages do and reports it, an API, an echoing WebSocket. */
import { createServer, type Server } from "node:http";
import { WebSocketServer } from "ws";
import { z } from "zod";

export const PageReport = z.strictObject({
  secure: z.boolean(),
  pageProtocol: z.string(),
  fetchProtocol: z.string(),
  forwardedProto: z.string(),
  echo: z.string(),
  /** Of a PUT with a header of its own, from the page's origin to another name: it needs a preflight. */
  crossOrigin: z.string(),
  /** Of a DELETE there, which nobody declared. */
  undeclared: z.string(),
  streamed: z.number(),
});
export type PageReport = z.infer<typeof PageReport>;

export interface BrowserApp {
  readonly server: Server;
  /** What the page said, once. */
  readonly report: Promise<PageReport>;
}

const page = (otherOrigin: string): string => `<!doctype html><title>visit</title><script type="module">
const attempt = (work) => work().catch((error) => "refused: " + error.name);
const api = await (await fetch("/api", { method: "POST", body: "x".repeat(1000) })).json();
const echo = await attempt(() => new Promise((done, failed) => {
  const socket = new WebSocket("wss://" + location.host + "/socket");
  socket.onopen = () => socket.send("hello");
  socket.onmessage = ({ data }) => done(data);
  socket.onerror = () => failed(new Error("socket"));
}));
const cross = (method) => attempt(async () =>
  (await (await fetch("${otherOrigin}/api", { method, headers: { "X-Token": "1" } })).json()).method);
let streamed = 0;
for await (const chunk of (await fetch("/stream")).body) streamed += chunk.length;
const of = (name) => performance.getEntriesByType("resource").find((entry) => entry.name.endsWith(name));
await fetch("/report", { method: "POST", body: JSON.stringify({
  secure: isSecureContext,
  pageProtocol: performance.getEntriesByType("navigation")[0].nextHopProtocol,
  fetchProtocol: of("/api").nextHopProtocol,
  forwardedProto: api.proto,
  echo, streamed,
  crossOrigin: await cross("PUT"),
  undeclared: await cross("DELETE"),
}) });
</script>`;

export const STREAMED_BYTES = 1_000_000;

/** @param otherOrigin of another of the service's names */
export function browserApp(otherOrigin: () => string): BrowserApp {
  const { promise, resolve, reject } = Promise.withResolvers<PageReport>();
  const server = createServer((req, res) => {
    if (req.url === "/") return void res.setHeader("content-type", "text/html").end(page(otherOrigin()));
    if (req.url === "/stream") {
      for (let sent = 0; sent < STREAMED_BYTES; sent += 1000) res.write("x".repeat(1000));
      return void res.end();
    }
    let body = "";
    req.on("data", (data: Buffer) => {
      body += data.toString();
    });
    req.on("end", () => {
      if (req.url === "/report") read(body).then(resolve, reject);
      const proto = req.headers["x-forwarded-proto"];
      res.setHeader("content-type", "application/json").end(JSON.stringify({ proto, method: req.method }));
    });
  });
  new WebSocketServer({ server, path: "/socket" }).on("connection", (socket) =>
    socket.on("message", (data) => socket.send(`echo: ${String(data)}`)),
  );
  // Read by whoever waits for it; until then it is nobody's error.
  promise.catch(() => undefined);
  return { server, report: promise };
}

async function read(body: string): Promise<PageReport> {
  return PageReport.parse(JSON.parse(body));
}
