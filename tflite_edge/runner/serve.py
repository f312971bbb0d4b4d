"""`classify --serve`: answers over HTTP on this machine: POST /classify, GET /health, GET /metrics."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, Dict, Tuple

from tflite_edge.records.errors import DataError, EdgeError
from tflite_edge.runner.classify import Classifier

MOST_BYTES = 20 << 20  # of one image
TIMEOUT_S = 30.0  # a client that says nothing


class Server(ThreadingHTTPServer):
    """daemon_threads: a hanging client must not keep the program from ending."""

    daemon_threads = True

    def __init__(self, address: Tuple[str, int], classifier: Classifier) -> None:
        super().__init__(address, Handler)
        self.classifier = classifier
        self.began = monotonic()
        self.lock = threading.Lock()
        self.decoding = threading.Lock()  # one image at a time: a large one takes hundreds of megabytes
        self.answered, self.refused, self.seconds = 0, 0, 0.0

    def count(self, ms: float) -> None:
        with self.lock:
            self.answered += 1
            self.seconds += ms / 1e3

    def metrics(self) -> str:
        """Prometheus's text format."""
        with self.lock:
            values = [
                ("classify_answers_total", "counter", self.answered),
                ("classify_refusals_total", "counter", self.refused),
                ("classify_inference_seconds_total", "counter", self.seconds),
                ("classify_uptime_seconds", "gauge", monotonic() - self.began),
            ]
        return "".join(f"# TYPE {name} {kind}\n{name} {value:g}\n" for name, kind, value in values)


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = TIMEOUT_S
    server_version = "tflite-edge"
    sys_version = ""

    def do_GET(self) -> None:
        card = self.server.classifier.card
        if self.path == "/health":
            self._send(200, {"status": "ok", "model": card.name, "sha256": card.model_sha256, "runtime": card.runtime})
        elif self.path == "/metrics":
            self._send_text(200, self.server.metrics(), "text/plain; version=0.0.4")
        else:
            self._send(404, {"error": "POST an image to /classify; GET /health or /metrics"})

    def do_POST(self) -> None:
        if self.path != "/classify":
            self._refuse(404, "POST an image to /classify")
            return
        if "Origin" in self.headers:  # a browser's, on behalf of a page that is none of ours
            self._refuse(403, "web pages are not answered")
            return
        try:
            size = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self._refuse(411, "Content-Length is missing")
            return
        if not 0 < size <= MOST_BYTES:
            self._refuse(413, f"an image has 1 to {MOST_BYTES:,} bytes, not {size:,}")
            return
        try:
            classifier = self.server.classifier
            content = self.rfile.read(size)
            with self.server.decoding:
                raw = classifier.load("the request", content)
            answer = classifier.answer(raw)
        except DataError as error:
            self._refuse(400, str(error))
        except EdgeError as error:
            self._refuse(500, str(error))
        else:
            self.server.count(answer["ms"])
            self._send(200, answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing: requests are counted in /metrics, and an SD card wears out."""

    def _refuse(self, status: int, why: str) -> None:
        with self.server.lock:
            self.server.refused += 1
        self.close_connection = True  # what was not read of the body is not the next request
        self._send(status, {"error": why})

    def _send(self, status: int, document: Dict[str, Any]) -> None:
        self._send_text(status, json.dumps(document) + "\n", "application/json")

    def _send_text(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
