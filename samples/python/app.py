"""A small web app on Python's own HTTP server. Berth says where to listen (PORT) and who this instance is (BERTH_*)."""

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from greeting import page

VERSION = {name: os.environ.get(f"BERTH_{name.upper()}", "") for name in ("commit", "service", "release", "instance")}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/":
            self.answer(200, "text/html; charset=utf-8", page(VERSION))
        elif self.path == "/version":
            self.answer(200, "application/json", json.dumps(VERSION))
        else:
            self.answer(404, "text/plain", "not found\n")

    def answer(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def stop(*_args: object) -> None:
    raise SystemExit(0)


signal.signal(signal.SIGTERM, stop)
print("listening on", os.environ.get("PORT", "8080"), flush=True)
ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
