// A small web app with one real dependency. Berth says where to listen (PORT) and who this instance is (BERTH_*).
import fastify from "fastify";

const { PORT = "8080", BERTH_COMMIT = "", BERTH_SERVICE = "", BERTH_RELEASE = "", BERTH_INSTANCE = "" } = process.env;
const version = { commit: BERTH_COMMIT, service: BERTH_SERVICE, release: BERTH_RELEASE, instance: BERTH_INSTANCE };
const app = fastify({ logger: true });

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello from Node</title>
<style>
  body { font: 18px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem; color: #1c2733 }
  code { background: #eef2f6; padding: .1em .4em; border-radius: .3em }
</style>
<h1>Hello from Node ${process.versions.node}</h1>
<p>Commit <code>${version.commit.slice(0, 12) || "unknown"}</code>, release <code>${version.release || "unknown"}</code>,
served by <code>${version.instance || "unknown"}</code>.</p>
</html>
`;

app.get("/", (_request, reply) => reply.type("text/html; charset=utf-8").send(page));
app.get("/version", () => version);

process.on("SIGTERM", () => {
  app.log.info("SIGTERM: finishing open requests");
  app.close().then(() => process.exit(0));
});

await app.listen({ host: "0.0.0.0", port: Number(PORT) });
