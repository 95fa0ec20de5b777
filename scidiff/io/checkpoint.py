"""Weights on disk: a safetensors file and, beside it, a JSON card that says what the weights are.

``model.safetensors`` holds tensors only, so that loading runs no code of the file. ``model.json`` holds the format
version, the versions that wrote it, the sha256 of the weights, the parameter count and whatever the caller adds
(configuration, data hash, metrics). Both are written to a temporary name and renamed, so a reader sees an old file or
a new one and never a part of one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from scidiff.errors import CheckpointError, ConfigError, IntegrityError, NumericalError
from scidiff.io.files import atomic_write, sha256_file
from scidiff.io.provenance import provenance

__all__ = [
    "FORMAT_VERSION",
    "card_path",
    "load_into",
    "load_model",
    "place",
    "read_tensors",
    "save_model",
    "write_tensors",
]

FORMAT_VERSION = 1
_RESERVED = ("format_version", "sha256", "parameters", "provenance")
_CARD_BYTES = 64 * 2**20


def card_path(path: Path) -> Path:
    """Path of the card that belongs to a weights file."""
    return Path(path).with_suffix(".json")


def save_model(path: Path | str, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights and their card.

    Parameters
    ----------
    path
        Weights file, ``.safetensors``; the card is written beside it with the suffix ``.json``.
    tensors
        Weights by name.
    card
        What the weights are, in JSON values.

    Returns
    -------
    dict
        The whole card as written.

    Raises
    ------
    ConfigError
        If the path has another suffix, or the card is not JSON or uses a reserved name.
    NumericalError
        If a weight is NaN or infinite; nothing is written.
    DataError
        If the folder cannot be written or the disk is full; nothing partial is left.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ConfigError(f"weights path is '{path}'; expected the suffix .safetensors; rename it")
    clash = sorted(set(card) & set(_RESERVED))
    if clash:
        raise ConfigError(f"the card has the reserved names {clash}; they are filled in here; rename yours")
    full = {
        "format_version": FORMAT_VERSION,
        "provenance": provenance(),
        "parameters": sum(t.numel() for t in tensors.values()),
        **card,
    }
    _json(full)
    full["sha256"] = write_tensors(path, tensors)
    write_json(card_path(path), full)
    return full


def load_model(path: Path | str, *, largest_bytes: int = 8 * 2**30) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights and their card, and check both.

    Parameters
    ----------
    path
        Weights file as given to :func:`save_model`.
    largest_bytes
        Files above this size are refused before they are read.

    Returns
    -------
    tensors : dict
        Weights by name, on the CPU.
    card : dict
        The card.

    Raises
    ------
    CheckpointError
        If a file is missing, too large, not of this format, or a weight is NaN or infinite.
    IntegrityError
        If the weights do not have the sha256 of the card.
    """
    path = Path(path)
    card = read_json(card_path(path))
    version = card.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"'{card_path(path)}' has format_version {version!r}; this scidiff reads {FORMAT_VERSION}; "
            "use the scidiff version that wrote it, or retrain"
        )
    tensors = read_tensors(path, str(card.get("sha256")), largest_bytes=largest_bytes)
    return tensors, card


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], card: Mapping[str, Any] | None = None) -> None:
    """Copy weights into a module after comparing every name and shape.

    Parameters
    ----------
    module
        Module whose parameters and persistent buffers are replaced.
    tensors
        Weights by name.
    card
        Card of the weights; it names the version that wrote them in an error.

    Raises
    ------
    CheckpointError
        If names are missing or unexpected, or shapes differ; the module is then untouched.
    """
    own = module.state_dict()
    problems = [f"missing: {name}" for name in own if name not in tensors]
    problems += [f"unexpected: {name}" for name in tensors if name not in own]
    problems += [
        f"shape of {name}: file {tuple(tensors[name].shape)}, module {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        writer = (card or {}).get("provenance", {}).get("scidiff", "unknown")
        more = f"; and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise CheckpointError(
            f"weights written by scidiff {writer} do not fit the module: {'; '.join(problems[:20])}{more}; "
            "build the module with the configuration of the card"
        )
    module.load_state_dict(dict(tensors))


def place(module: nn.Module, device: str) -> None:
    """Move a module to a device.

    Parameters
    ----------
    module
        The module; it is moved as it is.
    device
        Name of the device.

    Raises
    ------
    ConfigError
        If the device cannot be used on this machine.
    """
    try:
        module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device '{device}' cannot be used here ({error}); expected cpu, or cuda with a GPU"
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file atomically.

    Parameters
    ----------
    path
        File to write.
    tensors
        Tensors by name, on any device; tied ones are written once for each name.

    Returns
    -------
    str
        The sha256 of the file.

    Raises
    ------
    NumericalError
        If a value is NaN or infinite; nothing is written.
    DataError
        If the folder cannot be written or the disk is full; nothing partial is left.
    """
    plain = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    bad = _not_finite(plain)
    if bad:
        raise NumericalError(
            f"'{path}' was not written: NaN or infinite values in {bad}; expected finite weights; "
            "go on from an earlier checkpoint with a lower learning rate"
        )
    data = save(plain)
    with atomic_write(path, "wb") as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, sha256: str, *, largest_bytes: int = 8 * 2**30) -> dict[str, Tensor]:
    """Read a safetensors file, and check its size, its hash and that every value is finite.

    Parameters
    ----------
    path
        File to read.
    sha256
        Hash that the file should have.
    largest_bytes
        Largest size that is read.

    Returns
    -------
    dict
        Tensors by name, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is missing, too large or damaged, or a value is NaN or infinite.
    IntegrityError
        If the hash differs.
    """
    _check_file(path, largest_bytes)
    found = sha256_file(path)
    if found != sha256:
        raise IntegrityError(f"'{path}' has sha256 {found}, its card says {sha256}; fetch the file again or retrain")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"'{path}' is not a safetensors file ({error}); fetch it again or retrain") from error
    bad = _not_finite(tensors)
    if bad:
        raise CheckpointError(
            f"'{path}' has NaN or infinite values in {bad}; expected finite weights; fetch another file or retrain"
        )
    return tensors


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically.

    Parameters
    ----------
    path
        File to write.
    value
        The object; NaN and infinity are refused.

    Raises
    ------
    ConfigError
        If the object is not JSON.
    DataError
        If the folder cannot be written or the disk is full; nothing partial is left.
    """
    text = _json(value)
    with atomic_write(path) as file:
        file.write(text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path
        File to read.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    CheckpointError
        If the file is missing, too large, or does not hold a JSON object.
    """
    _check_file(path, _CARD_BYTES)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"'{path}' is not JSON ({error}); fetch it again or retrain") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"'{path}' holds a {type(value).__name__}; expected a JSON object; fetch it again")
    return value


def _json(value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the card is not JSON: {error}; expected numbers, strings, lists and mappings") from error


def _not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Names of the tensors with a NaN or an infinity, for people; empty when there are none."""
    bad = [name for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    return ", ".join(bad[:10]) + (f" and {len(bad) - 10} more" if len(bad) > 10 else "")


def _check_file(path: Path, largest: int) -> None:
    if not path.is_file():
        raise CheckpointError(f"'{path}' does not exist; expected a file; check the path, fetch it or train the model")
    size = path.stat().st_size
    if size > largest:
        raise CheckpointError(f"'{path}' has {size} bytes; expected at most {largest}; raise the limit if it is right")
