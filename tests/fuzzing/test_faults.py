"""Faults in saving and fetching: killed at any moment, two at once, a clock that jumps."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sparse_data.datasets.download import DataFile, DownloadError, fetch_files
from sparse_data.saved_folder import read_folder, write_folder

ROOT = str(Path(__file__).parents[2])
SAVING = """
    import itertools, sys
    from sparse_data.saved_folder import write_folder
    for number in itertools.count():
        text = str(number) * 20000
        files = {name: lambda file: file.write_text(text) for name in ("a.txt", "b.txt", "c.txt")}
        write_folder(sys.argv[1], "notes", files)
        print(number, flush=True)
"""
FETCHING = """
    import sys
    from sparse_data.datasets.download import DataFile, fetch_files
    file = DataFile("big.bin", sys.argv[3], sys.argv[2])
    print(fetch_files("set", [file], data_home=sys.argv[1])["big.bin"].stat().st_size)
"""
BODY = bytes(range(256)) * 4096


def start(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": ROOT, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_killed_at_any_moment_of_a_save_leaves_a_whole_folder(tmp_path):
    rng = random.Random(0)
    for _ in range(5):
        process = start(SAVING, tmp_path / "model")
        process.stdout.readline()
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        folder = read_folder(tmp_path / "model", "notes", files=("a.txt", "b.txt", "c.txt"))
        texts = {(folder / name).read_text() for name in ("a.txt", "b.txt", "c.txt")}
        assert len(texts) == 1  # all three of one save
    write_folder(tmp_path / "model", "notes", {"a.txt": lambda file: file.write_text("after")})
    assert (read_folder(tmp_path / "model", "notes") / "a.txt").read_text() == "after"


@pytest.fixture
def slow_site():
    """Serve one large file, in parts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            for part in range(16):
                size = len(BODY) // 16
                self.wfile.write(BODY[part * size : (part + 1) * size])
                time.sleep(0.005)

        def log_message(self, *_):
            pass

        def handle_one_request(self):
            try:
                super().handle_one_request()
            except OSError:  # the reader was killed
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/big.bin"
    server.shutdown()
    thread.join()
    server.server_close()


def test_two_processes_that_fill_the_cache_at_once(slow_site, tmp_path):
    known = hashlib.sha256(BODY).hexdigest()
    both = [start(FETCHING, tmp_path, slow_site, known) for _ in range(2)]
    told = [process.communicate() for process in both]
    assert [out.strip() for out, _ in told] == [str(len(BODY))] * 2, told
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["big.bin"]
    assert (tmp_path / "set" / "big.bin").read_bytes() == BODY


def test_killed_in_a_download_leaves_nothing_that_is_taken_for_data(slow_site, tmp_path):
    known = hashlib.sha256(BODY).hexdigest()
    process = start(FETCHING, tmp_path, slow_site, known)
    while not list(tmp_path.glob("set/.download-*")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.communicate()
    process = start(FETCHING, tmp_path, slow_site, known)
    assert process.communicate()[0].strip() == str(len(BODY))


def test_a_home_in_which_nothing_can_be_made():
    file = DataFile("big.bin", "0" * 64, "http://127.0.0.1:1/big.bin")
    with pytest.raises(DownloadError, match=r"big\.bin"):
        fetch_files("set", [file], data_home="/proc/no-such-home")
    with pytest.raises(OSError, match="/proc"):
        write_folder("/proc/no-such-home/model", "notes", {"a.txt": lambda file: file.touch()})


@pytest.mark.parametrize("jump", [-(10.0**6), 10.0**6])
def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, jump):
    now = time.time
    write_folder(tmp_path / "model", "notes", {"a.txt": lambda file: file.write_text("first")})
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    write_folder(tmp_path / "model", "notes", {"a.txt": lambda file: file.write_text("second")})
    os.utime(tmp_path / "model" / "a.txt", (now() + jump, now() + jump))
    assert (read_folder(tmp_path / "model", "notes") / "a.txt").read_text() == "second"
