"""Folders that appear whole or not at all: written beside their final name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from scidiff.errors import DataError
from scidiff.io.files import full_disk

__all__ = ["whole_folder"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_folder(path: str | Path, ours: Callable[[Path], bool], what: str) -> Iterator[Path]:
    """Give an empty folder that gets its name when the block ends without an exception.

    Parameters
    ----------
    path
        Final name; its parents are made.
    ours
        Whether a folder that is there already may be replaced; anything else is refused before the block.
    what
        What such a folder is, for the message.

    Yields
    ------
    Path
        The folder to write to, beside the final one.

    Raises
    ------
    DataError
        If something else lies there, or the folder cannot be written.
    """
    final = Path(os.path.realpath(path))
    if final.exists() and not (final.is_dir() and (not any(final.iterdir()) or ours(final))):
        raise DataError(f"{path} exists and is no {what}; give another name, or remove it first")
    part = final.with_name(f".{final.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    old = part.with_suffix(".old")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose a folder that you may write to") from error
    try:
        yield part
        if final.exists():
            final.rename(old)
        part.rename(final)
    except OSError as error:
        if error.errno in _FULL:
            raise full_disk(final, error) from error
        raise
    finally:
        if old.exists() and not final.exists():
            old.rename(final)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
