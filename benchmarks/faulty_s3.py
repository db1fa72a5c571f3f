"""An S3 server on this machine behind a proxy that cuts, delays, loses and refuses, as told, and counts.

    python benchmarks/faulty_s3.py

prints the addresses of the server (moto) and of the proxy, and serves until its input is closed. What the
proxy is asked under ``/-/`` is for itself: ``/-/rate?0.1`` sets the share of requests that go wrong,
``/-/counts`` answers what it did so far, as JSON.

Faults, each as likely as the others: ``503`` SlowDown and ``cut before``: nothing done; ``cut in the
upload``: the connection ends while the body is read; ``half stored``: half of the body is written and the
connection ends, which S3 itself never does; ``lost answer``: done, but no answer comes; ``cut answer``: done,
and half of the answer comes; ``slow``: a pause before the answer.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

BUCKET = "bucket"
FAULTS = ("503", "cut before", "cut in the upload", "half stored", "lost answer", "cut answer", "slow")
SLOW_S = 0.3
SLOW_DOWN = (
    b"""<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"""
)
HOP = {"connection", "transfer-encoding", "keep-alive", "expect"}


class State:
    """What the proxy does and did; conditional writes reach the server one at a time."""

    def __init__(self, seed: int) -> None:
        self.rate = 0.0
        self.rng = random.Random(seed)
        self.lock, self.writing = threading.Lock(), threading.Lock()
        self.faults: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.published: dict[str, list[str]] = {}

    def next_fault(self, method: str) -> str:
        """What goes wrong with a request that came, empty for nothing."""
        with self.lock:
            if self.rng.random() >= self.rate:
                return ""
            fault = self.rng.choice(FAULTS)
            if method != "PUT" and fault in ("cut in the upload", "half stored"):
                fault = "cut before"
            self.faults[fault] += 1
            return fault

    def counts(self) -> dict[str, object]:
        """What was done so far."""
        with self.lock:
            return {
                "faults": dict(self.faults), "requests": dict(self.requests), "bytes": dict(self.bytes),
                "published": self.published,
            }  # fmt: skip


def handler_of(state: State, port: int) -> type[BaseHTTPRequestHandler]:
    """Of requests to the proxy of the server at a port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            pass

        def answer(
            self, status: int, body: bytes, headers: Sequence[tuple[str, str]] = (), most: int = -1
        ) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in HOP and name.lower() not in ("content-length", "date", "server"):
                    self.send_header(name, value)
            length = next(
                (value for name, value in headers if name.lower() == "content-length"), str(len(body))
            )
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if most < 0 else body[:most])

        def hang_up(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.close()

        def forward(self, body: bytes, whole: bool = True) -> tuple[int, bytes, list[tuple[str, str]]]:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            if not whole:
                headers = {
                    name: value
                    for name, value in headers.items()
                    if "checksum" not in name.lower()
                    and name.lower() not in ("content-md5", "content-length")
                }
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                with state.writing if self.command == "PUT" else threading.Lock():
                    connection.request(self.command, self.path, body=body or None, headers=headers)
                    answer = connection.getresponse()
                    found = answer.status, answer.read(), answer.getheaders()
            finally:
                connection.close()
            return found

        def do_GET(self) -> None:
            if self.path.startswith("/-/"):
                return self.told()
            url = urlsplit(self.path)
            key = unquote(url.path).removeprefix(f"/{BUCKET}/")
            kind = "LIST" if self.command == "GET" and "list-type" in url.query else self.command
            kind = "DELETE" if self.command == "POST" else kind
            size = int(self.headers.get("Content-Length") or 0)
            fault = state.next_fault(self.command)
            body = self.rfile.read(size // 2 if fault == "cut in the upload" else size)
            with state.lock:
                state.requests[kind] += 1
                state.bytes["in"] += size
            if fault in ("cut before", "cut in the upload"):
                return self.hang_up()
            if fault == "503":
                return self.answer(503, SLOW_DOWN)
            if fault == "half stored":
                self.forward(body[: size // 2], whole=False)
                return self.hang_up()
            status, data, headers = self.forward(body)
            with state.lock:
                state.bytes["out"] += len(data)
                if kind == "PUT" and status == 200 and "/maps/" in key:
                    state.published.setdefault(key, []).append(json.loads(body)["version"])
            if fault == "slow":
                time.sleep(SLOW_S)
            if fault == "lost answer":
                return self.hang_up()
            if fault == "cut answer":
                self.answer(status, data, headers, most=len(data) // 2)
                return self.hang_up()
            return self.answer(status, data, headers)

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

        def told(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/-/rate":
                state.rate = float(url.query)
            self.answer(200, json.dumps(state.counts()).encode())

    return Handler


class Server(ThreadingHTTPServer):
    """The proxy."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Nothing is said of clients that were killed."""


def main(seed: int) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    import boto3
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=BUCKET)
    proxy = Server(("127.0.0.1", 0), handler_of(State(seed), port))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    print(json.dumps({"server": port, "proxy": proxy.server_address[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
