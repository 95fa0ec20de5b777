"""A list of keys as a text file that proves its content.

The first line is ``#``, a space and one JSON object with the provenance and the SHA-256 of the lines after it; then
comes one key a line. The file is written atomically and refused when its lines do not have the hash that its header
states.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scidiff.errors import DataError, IntegrityError
from scidiff.io.files import atomic_write, sha256_lines

__all__ = ["read_lines", "write_lines"]

_LIMIT = 1 << 30


def write_lines(path: str | Path, lines: Sequence[str], header: Mapping[str, object]) -> None:
    """Write keys with their provenance.

    Parameters
    ----------
    path
        The file.
    lines
        Keys without line ends.
    header
        What JSON can hold; ``count`` and ``sha256`` are added.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    stated = {**header, "count": len(lines), "sha256": sha256_lines(lines)}
    with atomic_write(path) as file:
        file.write(f"# {json.dumps(stated, sort_keys=True)}\n")
        file.writelines(f"{line}\n" for line in lines)


def read_lines(path: str | Path) -> tuple[list[str], dict[str, Any]]:
    """Read what `write_lines` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    lines, header
        The keys and the provenance.

    Raises
    ------
    DataError
        If the file cannot be read or is not of this kind.
    IntegrityError
        If the lines are not those the header speaks of.
    """
    try:
        if Path(path).stat().st_size > _LIMIT:
            raise DataError(f"{path} is larger than {_LIMIT} bytes; expected a list of keys")
        first, _, rest = Path(path).read_text(encoding="utf-8").partition("\n")
        header = json.loads(first.removeprefix("# "))
        lines = rest.splitlines()
        stated = header["sha256"]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read {path} as a list of keys with a header ({error}); delete it to make it anew"
        ) from error
    found = sha256_lines(lines)
    if found != stated:
        raise IntegrityError(
            f"the lines of {path} have sha256 {found}, its header says {stated}; delete it to make it anew"
        )
    return lines, header
