"""A file is written whole or not at all, and hashes are those of the standard."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write, cache_folder, data_folder, locked, sha256_file, sha256_lines


@pytest.mark.parametrize(("mode", "content"), [("w", "α\nβ\n"), ("wb", b"\x00\xff\r\n")])
def test_what_is_written_is_what_is_read(tmp_path: Path, mode: str, content: str | bytes) -> None:
    path = tmp_path / "made" / "on the way" / "file"
    with atomic_write(path, mode) as file:
        file.write(content)
        assert not path.exists()
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(path.parent) == ["file"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("new" * (file.write("new") // 0))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="free space"), atomic_write(tmp_path / "file") as file:
        file.write("new")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
def test_the_system_refusing_a_large_file_leaves_nothing(tmp_path: Path) -> None:
    """The system itself refuses here: the process may not write files above 4096 bytes."""
    code = (
        "import resource, sys\n"
        "from scidiff.errors import DataError\n"
        "from scidiff.io.files import atomic_write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    with atomic_write(sys.argv[1], 'wb') as file:\n"
        "        file.write(bytes(1 << 20))\n"
        "except DataError as error:\n"
        "    print('no room' in str(error))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert run.stdout.strip() == "True"
    assert os.listdir(tmp_path) == []


def test_other_failures_of_the_block_keep_their_type(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "file"):
        (tmp_path / "missing").read_text()
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="choose a folder"), atomic_write(tmp_path / "plain" / "file"):
        pass
    with pytest.raises(DataError, match="is a folder"), atomic_write(tmp_path / "folder"):
        pass
    with pytest.raises(ConfigError, match="'w' or 'wb'"), atomic_write(tmp_path / "file", "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["folder", "plain"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX")
def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    target, link, fresh = tmp_path / "target", tmp_path / "link", tmp_path / "fresh"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    with atomic_write(fresh):
        pass
    (tmp_path / "plain").write_text("")
    assert fresh.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_hashes_are_those_of_the_standard(tmp_path: Path) -> None:
    """FIPS 180-4 gives the hash of 'abc'."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    lines = ["C", "NÅ", ""]
    with atomic_write(path) as file:
        file.writelines(f"{line}\n" for line in lines)
    assert sha256_lines(iter(lines)) == sha256_file(path) == hashlib.sha256("C\nNÅ\n\n".encode()).hexdigest()
    with pytest.raises(DataError, match="cannot read"):
        sha256_file(tmp_path / "missing")


def test_the_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCIDIFF_DATA", str(tmp_path))
    assert cache_folder() == tmp_path / "cache"
    assert data_folder() == tmp_path
    monkeypatch.setenv("SCIDIFF_CACHE", "")
    monkeypatch.setenv("SCIDIFF_DATA", " ")
    assert cache_folder() == Path.home() / ".cache" / "scidiff"
    assert data_folder() is None
    monkeypatch.setenv("SCIDIFF_DATA", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="not a folder"):
        data_folder()


def test_a_lock_admits_one_at_a_time(tmp_path: Path) -> None:
    """Eight threads add to a number that they read, hold for a millisecond, and write back."""
    held = {"value": 0}

    def add() -> None:
        for _ in range(5):
            with locked(tmp_path / "made" / "lock"):
                value = held["value"]
                time.sleep(0.001)
                held["value"] = value + 1

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held["value"] == 40
