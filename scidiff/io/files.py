"""Files written whole or not at all, hashes, and the two folders of the package.

A file is written under a temporary name in its own folder, flushed to the disk, and renamed over its final name. The
rename is atomic on one file system, so a reader sees the old file or the new one and never a part; any failure before
it removes the temporary file and leaves the old one as it was.

The package reads data from the folder `$SCIDIFF_DATA`, where it is set, and keeps what it fetched or computed in
`$SCIDIFF_CACHE`, by default `~/.cache/scidiff`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from scidiff.errors import ConfigError, DataError

__all__ = ["atomic_write", "cache_folder", "data_folder", "full_disk", "locked", "sha256_file", "sha256_lines"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 1 << 20


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file that appears under `path` only when the block ends without an exception.

    Missing parent folders are made. A symbolic link at `path` is followed, so that its target is replaced.

    Parameters
    ----------
    path
        The final name.
    mode
        ``"w"`` for UTF-8 text with ``\\n`` line ends, or ``"wb"`` for bytes.

    Yields
    ------
    file
        The open temporary file.

    Raises
    ------
    ConfigError
        If `mode` is neither ``"w"`` nor ``"wb"``.
    DataError
        If the folder cannot be written, or if the disk (or the quota) is full.
    """
    if mode not in ("w", "wb"):
        raise ConfigError(f"mode {mode!r} for writing {path}; expected 'w' or 'wb'")
    final = Path(os.path.realpath(path))
    part = final.with_name(f".{final.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    file = _create(part, final, mode)
    try:
        with file:
            if final.exists():
                os.chmod(part, final.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, final)
    except OSError as error:
        if error.errno in _FULL:
            raise full_disk(final, error) from error
        raise
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(final.parent)


def full_disk(path: Path, error: OSError) -> DataError:
    """Return the error that says that `path` could not be written for want of room.

    Parameters
    ----------
    path
        The file that was being written.
    error
        What the operating system said.

    Returns
    -------
    error
        A `DataError` with the way out.
    """
    return DataError(
        f"no room to write {path} ({error.strerror}); free space on that disk, or choose another folder (SCIDIFF_CACHE "
        "names the cache)"
    )


def _create(part: Path, final: Path, mode: str) -> IO:
    """Create and open the temporary file, with the permissions that the umask leaves."""
    if final.is_dir():
        raise DataError(f"cannot write {final}: it is a folder; give the name of a file")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        if error.errno in _FULL:
            raise full_disk(final, error) from error
        raise DataError(f"cannot write {final}: {error.strerror}; choose a folder that you may write to") from error
    return os.fdopen(descriptor, mode) if mode == "wb" else os.fdopen(descriptor, mode, encoding="utf-8", newline="\n")


def _sync_folder(folder: Path) -> None:
    """Flush the renamed entry of `folder`, where the system can open a folder (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold an exclusive lock between processes for the length of the block; wait for it if another holds it.

    The lock belongs to the open file and ends with the process, so that a crash leaves no stale lock behind.

    Parameters
    ----------
    path
        The lock file; it is made if it is missing and stays, empty.

    Raises
    ------
    DataError
        If the lock file cannot be made.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = open(target, "ab")
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}; choose a folder that you may write to") from error
    with file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        yield


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    digest
        64 hexadecimal digits.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected a readable file") from error
    return digest.hexdigest()


def sha256_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of text lines, each ended by one newline and encoded as UTF-8.

    This is the hash of the file that holds those lines, on any system.

    Parameters
    ----------
    lines
        Lines without their line ends.

    Returns
    -------
    digest
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the folder for what was fetched or computed: `$SCIDIFF_CACHE`, or `~/.cache/scidiff`.

    Returns
    -------
    folder
        The path; it need not exist yet.
    """
    named = os.environ.get("SCIDIFF_CACHE", "").strip()
    return Path(named).expanduser() if named else Path.home() / ".cache" / "scidiff"


def data_folder() -> Path | None:
    """Return the folder `$SCIDIFF_DATA`, or None where the variable is unset or empty.

    Returns
    -------
    folder
        The path of a folder that exists, or None.

    Raises
    ------
    ConfigError
        If the variable names something that is not a folder.
    """
    named = os.environ.get("SCIDIFF_DATA", "").strip()
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"SCIDIFF_DATA is '{named}', which is not a folder; set it to a folder with data, or unset it"
        )
    return folder
