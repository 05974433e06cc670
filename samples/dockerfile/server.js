// A web app without dependencies, built from a Dockerfile.
const { createServer } = require("node:http");

const { PORT = "8080", BERTH_COMMIT = "", BERTH_SERVICE = "", BERTH_RELEASE = "", BERTH_INSTANCE = "" } = process.env;
const version = { commit: BERTH_COMMIT, service: BERTH_SERVICE, release: BERTH_RELEASE, instance: BERTH_INSTANCE };

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello from a Dockerfile</title>
<style>
  body { font: 18px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem; color: #1c2733 }
  code { background: #eef2f6; padding: .1em .4em; border-radius: .3em }
</style>
<h1>Hello from a Dockerfile</h1>
<p>Commit <code>${version.commit.slice(0, 12) || "unknown"}</code>, release <code>${version.release || "unknown"}</code>,
served by <code>${version.instance || "unknown"}</code>.</p>
</html>
`;

const server = createServer((request, response) => {
  const answers = {
    "/": ["text/html; charset=utf-8", page],
    "/version": ["application/json", JSON.stringify(version)],
  };
  const answer = answers[request.url];
  response.writeHead(answer ? 200 : 404, { "content-type": answer ? answer[0] : "text/plain" });
  response.end(answer ? answer[1] : "not found\n");
});

server.listen(Number(PORT), "0.0.0.0", () => console.log(`listening on ${PORT}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
