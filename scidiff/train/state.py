"""The checkpoint of a training run: a folder that is replaced as a whole.

``last/`` holds ``network.safetensors``, ``ema.safetensors``, ``optimizer.safetensors`` and ``state.json``. A new one is
written to ``last.tmp``, then ``last`` becomes ``last.old``, ``last.tmp`` becomes ``last``, and ``last.old`` goes. At
every moment either ``last`` or ``last.old`` is whole, and reading takes the one that is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from scidiff.errors import CheckpointError, ConfigError
from scidiff.io.checkpoint import read_json, read_tensors, write_json, write_tensors
from scidiff.io.provenance import provenance
from scidiff.train.config import OPERATIONAL, TrainConfig

__all__ = ["check_same_run", "claimed", "describe", "read_state", "remove_state", "write_state"]

PARTS = ("network", "ema", "optimizer")
STATE_VERSION = 1


def write_state(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]) -> None:
    """Replace the checkpoint of a run.

    Parameters
    ----------
    folder
        Folder of the run.
    parts
        Tensors by name for each of ``network``, ``ema`` and ``optimizer``.
    record
        What else the run needs, in JSON values.

    Raises
    ------
    DataError
        If the disk refuses a file; the earlier checkpoint is untouched and nothing partial is left.
    """
    last, fresh, old = folder / "last", folder / "last.tmp", folder / "last.old"
    _settle(folder)
    try:
        hashes = {part: write_tensors(fresh / f"{part}.safetensors", parts[part]) for part in PARTS}
        state = {"state_version": STATE_VERSION, "provenance": provenance(), **record, "sha256": hashes}
        write_json(fresh / "state.json", state)
        if last.exists():
            last.rename(old)
        fresh.rename(last)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def read_state(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]] | None:
    """Read the checkpoint of a run.

    Parameters
    ----------
    folder
        Folder of the run.

    Returns
    -------
    tuple or None
        The record and the tensors as :func:`write_state` took them; ``None`` when the run has no checkpoint yet.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, a value is not finite, or the format is another one.
    IntegrityError
        If a file does not have the hash it should have.
    """
    last = next((path for path in (folder / "last", folder / "last.old") if path.exists()), None)
    if last is None:
        return None
    record = read_json(last / "state.json")
    version = record.get("state_version")
    if version != STATE_VERSION:
        raise CheckpointError(
            f"'{last}' has state_version {version!r}; this scidiff reads {STATE_VERSION}; resume with the version "
            "that wrote it, or start again with resume=False"
        )
    return record, {part: read_tensors(last / f"{part}.safetensors", record["sha256"][part]) for part in PARTS}


def remove_state(folder: Path) -> None:
    """Remove the checkpoint of a run that starts again.

    Parameters
    ----------
    folder
        Folder of the run.
    """
    for name in ("last", "last.tmp", "last.old"):
        shutil.rmtree(folder / name, ignore_errors=True)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder inside a ``with`` block.

    Parameters
    ----------
    folder
        Folder of the run; made if it is missing.

    Raises
    ------
    ConfigError
        If another process trains in the folder, or the path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"'{folder}' is a file; expected a folder for the run, new or of an earlier part; choose one")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        try:
            _lock(file)
        except OSError as error:
            raise ConfigError(
                f"another process trains in '{folder}'; expected a folder of its own for each run; "
                "wait for it, stop it, or choose another folder"
            ) from error
        yield


def _lock(file: IO[bytes]) -> None:
    """Take an exclusive lock, which ends with the open file, or fail at once."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def _settle(folder: Path) -> None:
    """Undo what an interrupted replacement left."""
    last, fresh, old = folder / "last", folder / "last.tmp", folder / "last.old"
    if old.exists() and not last.exists():
        old.rename(last)
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)


def describe(config: TrainConfig, card: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Say what a run is, so that a later one can be compared with it.

    Parameters
    ----------
    config
        Its settings.
    card
        Card of its task.
    processes
        Number of processes.

    Returns
    -------
    dict
        ``config``, ``card``, ``card_sha256`` and ``processes``, in JSON values.

    Raises
    ------
    ConfigError
        If the card is not JSON.
    """
    try:
        text = json.dumps(card, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the task's card is not JSON: {error}; expected numbers, strings, lists, mappings"
        ) from error
    return {
        "config": config.record(),
        "card": json.loads(text),
        "card_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "processes": processes,
    }


def check_same_run(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than those of the checkpoint.

    Parameters
    ----------
    before
        Record of the checkpoint.
    now
        Description of the run that wants to go on, from :func:`describe`.

    Raises
    ------
    ConfigError
        If anything differs that changes a step; the message lists the differences.
    """
    changes = _changes("config", _without(before["config"]), _without(now["config"]))
    changes += _changes("card", before["card"], now["card"])
    changes += _changes("processes", before["processes"], now["processes"])
    if changes:
        raise ConfigError(
            f"the run differs from its checkpoint: {'; '.join(changes[:20])}; expected the same settings "
            "(steps may change when horizon is given); restore them, choose another folder, or pass resume=False"
        )


def _without(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in OPERATIONAL}


def _changes(path: str, before: Any, now: Any) -> list[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = sorted(set(before) | set(now))
        absent = "absent"
        return [c for n in names for c in _changes(f"{path}.{n}", before.get(n, absent), now.get(n, absent))]
    return [] if before == now else [f"{path} was {before!r}, is {now!r}"]
