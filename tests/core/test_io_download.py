"""A download ends with the right bytes under the name, or with a typed error and no file under it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from scidiff.errors import DataError, IntegrityError
from scidiff.io.download import download

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9/file"


class Handler(BaseHTTPRequestHandler):
    """Serve CONTENT: /file with ranges, /whole without, /wrong with another content, /cut broken off half-way."""

    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        """Answer, and note the question."""
        span = self.headers.get("Range")
        self.asked.append((self.path, span))
        body = CONTENT[::-1] if self.path == "/wrong" else CONTENT
        first = int(span.removeprefix("bytes=").rstrip("-")) if span and self.path in ("/file", "/cut") else 0
        if self.path == "/gone":
            self.send_error(404)
            return
        if first and first >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self.wfile.write(body[first : len(body) // 2] if self.path == "/cut" else body[first:])

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def test_the_file_comes_and_is_not_asked_for_twice(server: str, tmp_path: Path) -> None:
    path = download([f"{server}/file"], SHA256, tmp_path / "made", "data", False)
    assert path.read_bytes() == CONTENT
    assert download([NOWHERE], SHA256, tmp_path / "made", "data", False) == path
    assert Handler.asked == [("/file", None)]
    assert files(path.parent) == ["data"]


@pytest.mark.parametrize(
    ("address", "asked"),
    [("file", [("/file", "bytes=1000-")]), ("whole", [("/whole", "bytes=1000-")])],
    ids=["resumed", "range ignored"],
)
def test_a_part_is_completed(server: str, tmp_path: Path, address: str, asked: list) -> None:
    (tmp_path / "data.part").write_bytes(CONTENT[:1000])
    assert download([f"{server}/{address}"], SHA256, tmp_path, "data", False).read_bytes() == CONTENT
    assert Handler.asked == asked


def test_a_wrong_part_is_thrown_away(server: str, tmp_path: Path) -> None:
    (tmp_path / "data.part").write_bytes(b"x" * 1000)
    assert download([f"{server}/file"], SHA256, tmp_path, "data", False).read_bytes() == CONTENT
    assert Handler.asked == [("/file", "bytes=1000-"), ("/file", None)]


def test_a_part_that_is_too_long_starts_anew(server: str, tmp_path: Path) -> None:
    (tmp_path / "data.part").write_bytes(CONTENT + b"x")
    assert download([f"{server}/file"], SHA256, tmp_path, "data", False).read_bytes() == CONTENT


def test_a_complete_part_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "data.part").write_bytes(CONTENT)
    assert download([NOWHERE], SHA256, tmp_path, "data", False).read_bytes() == CONTENT
    assert files(tmp_path) == ["data"]


def test_a_broken_transfer_is_resumed_by_the_next_mirror(server: str, tmp_path: Path) -> None:
    half = len(CONTENT) // 2
    with pytest.raises(DataError, match=f"ended after {half} of {len(CONTENT)}"):
        download([f"{server}/cut"], SHA256, tmp_path, "data", False)
    assert files(tmp_path) == ["data.part"]
    assert download([f"{server}/file"], SHA256, tmp_path, "data", False).read_bytes() == CONTENT
    assert Handler.asked[-1] == ("/file", f"bytes={half}-")


def test_mirrors_are_tried_in_turn(server: str, tmp_path: Path) -> None:
    urls = [NOWHERE, f"{server}/gone", "no address", f"{server}/wrong", f"{server}/file"]
    assert download(urls, SHA256, tmp_path, "data", False).read_bytes() == CONTENT


def test_another_content_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="instead of"):
        download([f"{server}/wrong", NOWHERE], SHA256, tmp_path, "data", False)
    assert files(tmp_path) == []
    (tmp_path / "data").write_bytes(b"old")
    with pytest.raises(IntegrityError, match="delete the file"):
        download([f"{server}/file"], SHA256, tmp_path, "data", False)


def test_a_file_above_the_limit_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="more than the 1000"):
        download([f"{server}/file"], SHA256, tmp_path, "data", False, limit=1000)
    assert files(tmp_path) == []


def test_no_network_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9.*check the network, or put the file at .*data"):
        download([NOWHERE], SHA256, tmp_path, "data", False)
    with pytest.raises(DataError, match="no address"):
        download([], SHA256, tmp_path, "data", False)
    assert files(tmp_path) == []


def test_two_at_once_fetch_once(server: str, tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=download, args=([f"{server}/file"], SHA256, tmp_path, "data", False)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert len(Handler.asked) == 1
