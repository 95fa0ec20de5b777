"""A folder of samples: ``report.json`` names the structures that are samples; what lies beside them is something else.

A command writes into a folder that holds no other run, so that nothing is replaced and no two runs are mixed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write
from scidiff.io.json_values import json_value

__all__ = ["check_free", "structure_files", "write_report"]

_REPORT = "report.json"
_TRACES = (_REPORT, "sample_*.cif", "*/scaffold_info.csv")


def check_free(out: Path) -> None:
    """Refuse a folder that holds a run.

    Parameters
    ----------
    out
        The folder; it need not be there.

    Raises
    ------
    ConfigError
        If it has a report or samples, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; expected a folder for the samples, which is made where it is not there")
    found = [str(path.relative_to(out)) for trace in _TRACES for path in sorted(out.glob(trace))]
    if found:
        more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
        raise ConfigError(f"{out} holds another run ({found[0]}{more}); give a new folder, or remove that run")


def write_report(out: Path, facts: Mapping[str, Any]) -> Path:
    """Write ``report.json``.

    Parameters
    ----------
    out
        The folder; made where it is not there.
    facts
        JSON values by name; ``files`` are the names of the samples. A number that is not finite is written as null.
    """
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / _REPORT) as file:
        json.dump(json_value(facts), file, indent=2, allow_nan=False)
    return out / _REPORT


def structure_files(folder: Path) -> list[Path]:
    """Structure files of a folder: those that its report names, or all where no report names any.

    Parameters
    ----------
    folder
        The folder.

    Raises
    ------
    DataError
        If there is none, one that the report names is missing, or the report cannot be read.
    """
    from .structures import READERS

    names = _named(folder / _REPORT)
    if names is None:
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in READERS)
    else:
        files = [folder / name for name in names]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{folder / _REPORT} names {len(files)} files, of which {len(missing)} are missing ({missing[0]}, ...); "
            "restore them, or remove the report to read all structures of the folder"
        )
    if not files:
        raise DataError(f"{folder} holds no file with an ending of {', '.join(READERS)}; give a folder of structures")
    return files


def _named(report: Path) -> list[str] | None:
    """Names of the samples in a report; None where there is no report, or it names none."""
    if not report.is_file():
        return None
    try:
        facts = json.loads(report.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{report} is not JSON ({error}); restore it, or remove it to read all structures") from error
    names = facts.get("files") if isinstance(facts, dict) else None
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise DataError(f"'files' of {report} is {names!r:.80}; expected names of files in the same folder")
    return names
