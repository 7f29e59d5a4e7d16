"""Fixtures of the data set tests: where real data lie, and a web server that misbehaves on demand."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real data sets."""
    if not os.environ.get("SPARSELABELS_DATA"):
        pytest.skip("needs real data: set SPARSELABELS_DATA to the folder that holds them")
    return Path(os.environ["SPARSELABELS_DATA"])


@dataclass
class Site:
    """What a web server holds: bodies by path; a list is served one body a request, the last one for ever."""

    url: str
    pages: dict[str, bytes | list[bytes]] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    def body(self, path: str) -> bytes | None:
        self.requests.append(path)
        page = self.pages.get(path)
        if isinstance(page, list):
            return page.pop(0) if len(page) > 1 else page[0]
        return page


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run a web server on this machine, without retries and pauses between them."""
    # pooch leaves it to the garbage collector to close its sockets; what others left need not be searched.
    gc.freeze()
    request.node.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setattr("sparse_data.datasets.download.RETRIES", 0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = held.body(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path in held.truncated else body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield held
    server.shutdown()
    thread.join()
    server.server_close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.unfreeze()
