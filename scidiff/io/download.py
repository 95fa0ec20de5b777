"""Fetch one file from the first of several mirrors that gives the right bytes.

The bytes go to `NAME.part`. A broken transfer leaves that file, and the next call asks the mirror for the rest
(`Range: bytes=SIZE-`); a mirror that ignores the question sends the whole file and the part starts anew. The file
gets its name only after its SHA-256 agrees, so a file with the right name has the right content. One lock per file
lets two processes ask for the same file at the same time: the second finds it ready.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scidiff.errors import DataError, IntegrityError
from scidiff.io.files import full_disk, locked, sha256_file

__all__ = ["download"]

_CHUNK = 1 << 18
_LIMIT = 4 << 30
_NETWORK = (urllib.error.URLError, http.client.HTTPException, OSError, ValueError)


class _WrongFile(Exception):
    """A mirror gave a file with another hash, or one that is too large."""


def download(
    urls: Sequence[str],
    sha256: str,
    folder: str | Path,
    name: str,
    progress: bool = True,
    *,
    limit: int = _LIMIT,
    timeout: float = 30.0,
) -> Path:
    """Fetch a file, or find that it is already there, and return its path.

    Parameters
    ----------
    urls
        Addresses of the same file (http, https or file), tried in this order.
    sha256
        The hash of the file, 64 hexadecimal digits.
    folder
        Where the file goes; made if it is missing.
    name
        Name of the file in `folder`.
    progress
        Show a bar when standard error is a terminal.
    limit
        Largest size accepted, in bytes.
    timeout
        Seconds without an answer after which a mirror is given up.

    Returns
    -------
    path
        ``folder / name``, whose hash is `sha256`.

    Raises
    ------
    IntegrityError
        If the file is there with another hash, or if no mirror gave the right file and one gave another file.
    DataError
        If no mirror could be reached, or the disk is full.
    """
    path = Path(folder) / name
    if path.exists():
        return _checked(path, sha256)
    with locked(path.with_name(f".{name}.lock")):
        if path.exists():
            return _checked(path, sha256)
        _from_mirrors(urls, path, sha256, progress, limit, timeout)
    return path


def _from_mirrors(urls: Sequence[str], path: Path, sha256: str, progress: bool, limit: int, timeout: float) -> None:
    """Try the mirrors in turn and give the file its name, or say what each of them did."""
    part = path.with_name(f"{path.name}.part")
    reasons: dict[str, str] = {}
    wrong = False
    for url in urls:
        try:
            _fetch(url, part, sha256, progress, limit, timeout)
        except DataError:
            raise
        except _WrongFile as error:
            reasons[url] = str(error)
            wrong = True
        except _NETWORK as error:
            reasons[url] = str(getattr(error, "reason", "") or error or type(error).__name__)
        else:
            os.replace(part, path)
            return
    raise _refusal(path, reasons, wrong)


def _checked(path: Path, sha256: str) -> Path:
    """Return a file that lies under the final name, or refuse its content."""
    found = sha256_file(path)
    if found != sha256:
        raise IntegrityError(f"{path} has sha256 {found}, expected {sha256}; delete the file to fetch it anew")
    return path


def _refusal(path: Path, reasons: dict[str, str], wrong: bool) -> IntegrityError | DataError:
    """Return the error that fits what the mirrors did."""
    listed = "; ".join(f"{url}: {reason}" for url, reason in reasons.items()) or "no address was given"
    if wrong:
        return IntegrityError(
            f"cannot fetch {path.name}, a mirror gave another file than expected ({listed}); report this"
        )
    return DataError(
        f"cannot fetch {path.name}, no mirror could be used ({listed}); check the network, or put the file at {path} "
        "yourself"
    )


def _fetch(url: str, part: Path, sha256: str, progress: bool, limit: int, timeout: float) -> None:
    """Complete `part` from `url` and check it; a resumed part with a wrong hash is fetched once more from the start."""
    resumed = part.exists() and part.stat().st_size > 0
    if resumed and sha256_file(part) == sha256:
        return
    _transfer(url, part, progress, limit, timeout)
    found = sha256_file(part)
    if found == sha256:
        return
    part.unlink()
    if not resumed:
        raise _WrongFile(f"sha256 {found} instead of {sha256}")
    _fetch(url, part, sha256, progress, limit, timeout)


def _transfer(url: str, part: Path, progress: bool, limit: int, timeout: float) -> None:
    """Append to `part` what it lacks, or write it from the start if the mirror sends the whole file."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "scidiff", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        part.unlink()
        _transfer(url, part, progress, limit, timeout)
        return
    with reply:
        resumes = have > 0 and getattr(reply, "status", None) == 206 and _starts_at(reply, have)
        length = reply.headers.get("Content-Length")
        first = have if resumes else 0
        total = first + int(length) if length else None
        if (total or 0) > limit:
            raise _WrongFile(f"{total} bytes are more than the {limit} accepted")
        with _open_part(part, "ab" if resumes else "wb") as write, _bar(part.stem, first, total, progress) as advance:
            size = _copy(reply, write, advance, first, limit)
    if size > limit:
        part.unlink()
        raise _WrongFile(f"more than the {limit} bytes accepted")
    if total is not None and size < total:
        raise http.client.HTTPException(f"the connection ended after {size} of {total} bytes")


def _starts_at(reply: http.client.HTTPResponse, first: int) -> bool:
    """Tell whether a partial answer begins at byte `first`."""
    return reply.headers.get("Content-Range", "").startswith(f"bytes {first}-")


@contextlib.contextmanager
def _open_part(part: Path, mode: str) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that writes to `part` and turns a write that fails into a `DataError`."""
    try:
        file = open(part, mode)
    except OSError as error:
        raise DataError(f"cannot write {part}: {error.strerror}; choose a folder that you may write to") from error

    def write(chunk: bytes) -> None:
        try:
            file.write(chunk)
            file.flush()
        except OSError as error:
            raise full_disk(part, error) from error

    with file:
        yield write
        os.fsync(file.fileno())


def _copy(
    reply: http.client.HTTPResponse,
    write: Callable[[bytes], None],
    advance: Callable[[int], None],
    first: int,
    limit: int,
) -> int:
    """Copy the body until it ends or passes `limit`; return the size that the part now has."""
    size = first
    while size <= limit and (chunk := reply.read(_CHUNK)):
        write(chunk)
        advance(len(chunk))
        size += len(chunk)
    return size


@contextlib.contextmanager
def _bar(name: str, first: int, total: int | None, progress: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told of each further byte: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not (progress and console.is_terminal):
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=total, completed=first)
        yield lambda size: bar.advance(task, size)
