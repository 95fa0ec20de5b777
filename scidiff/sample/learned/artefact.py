"""A learned table in a file, bound to what it was learned for.

A table of few calls is good for one model under one condition and at one strength of guidance. The file holds the
table and a fingerprint of all that; asking it for a rule says what the rule will be used with, and a difference is an
error that names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, DataError, IntegrityError, ScidiffError
from scidiff.io.checkpoint import load_model
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance
from scidiff.process.base import Process
from scidiff.process.gaussian import GaussianProcess
from scidiff.sample.continuous.table import Table, TableRule

__all__ = ["Fingerprint", "FingerprintError", "LearnedTable", "model_hash", "process_text"]

FORMAT_VERSION = 1


class FingerprintError(IntegrityError):
    """A learned table was to be used with something that it was not learned for.

    Parameters
    ----------
    differences
        What differs: member of the fingerprint to (that of the file, the one that came).
    """

    def __init__(self, differences: Mapping[str, tuple[Any, Any]]) -> None:
        self.differences = dict(differences)
        told = "; ".join(f"{name}: learned for {own}, came {other}" for name, (own, other) in differences.items())
        super().__init__(
            f"the learned table belongs to another {', '.join(differences)} ({told}); learn it anew, or force"
        )


def model_hash(model: Any) -> str:
    """Hash what a denoiser computes with.

    Parameters
    ----------
    model
        A network or its state dictionary, the path of a weights file, a dataclass such as an analytic denoiser, an
        object with a ``network``, or a `Denoiser` around one of these.

    Returns
    -------
    str
        64 hexadecimal digits: the same for a network, its weights in memory and its weights file.

    Raises
    ------
    ConfigError
        If the model is a bare function, or has a lambda or an inner function for a member, of which nothing can be
        read.
    """
    if isinstance(model, Denoiser):
        return model_hash(model.function)
    if isinstance(model, str | Path):
        return model_hash(load_model(model)[0])
    if isinstance(model, nn.Module):
        return model_hash(model.state_dict())
    if isinstance(model, Mapping):
        return _digest({str(name): value for name, value in model.items()})
    if isinstance(getattr(model, "network", None), nn.Module):
        return model_hash(model.network)
    if is_dataclass(model) and not isinstance(model, type):
        members = {field.name: getattr(model, field.name) for field in fields(model)}
        return _digest({"class": type(model).__qualname__, **members})
    raise ConfigError(
        f"a {type(model).__name__} came, of which no weights can be read; expected a network, a state dictionary, a "
        "weights file or a dataclass: pass one of these as the model"
    )


def _digest(members: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        value = members[name]
        digest.update(f"{name}\n".encode())
        if isinstance(value, Tensor | np.ndarray):
            tensor = torch.as_tensor(value).detach().cpu().contiguous()
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{_text(value)}\n".encode())
    return digest.hexdigest()


def _text(value: Any) -> str:
    """Describe a value without the address of any object."""
    if isinstance(value, nn.Module):
        return model_hash(value)
    if callable(value) and hasattr(value, "__qualname__"):
        if "<" in value.__qualname__ and not isinstance(value, type):
            raise ConfigError(
                f"a member of the model is the function {value.__qualname__}, of which nothing can be read; expected "
                "one with a name of its own in its module: define it there, or make it a dataclass"
            )
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{field.name}={_text(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__qualname__}({inner})"
    if isinstance(value, Tensor):
        return _digest({"tensor": value})
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    return type(value).__qualname__


def process_text(process: Process) -> str:
    """Describe a process by its class, space and schedule; the weight of its loss does not matter to a sampler."""
    if not isinstance(process, GaussianProcess):
        raise ConfigError(f"a {type(process).__name__} came; tables belong to a GaussianProcess")
    return f"GaussianProcess({process.space!r}, {process.schedule!r})"


@dataclass(frozen=True)
class Fingerprint:
    """What a table was learned for.

    Parameters
    ----------
    model
        Hash of the weights, see `model_hash`.
    process
        Process and schedule, see `process_text`.
    condition
        What the conditions of training were, in words of the caller.
    guidance
        Least and largest strength of guidance.
    calls
        Network calls.
    """

    model: str
    process: str
    condition: str
    guidance: tuple[float, float]
    calls: int

    def differences(self, model: str, process: str, condition: str, guidance: float, calls: int) -> dict[str, Any]:
        """Members that do not fit a use: name to (own value, value that came)."""
        wanted = {"model": model, "process": process, "condition": condition, "calls": calls}
        found = {name: (getattr(self, name), value) for name, value in wanted.items() if getattr(self, name) != value}
        if not self.guidance[0] <= guidance <= self.guidance[1]:
            found["guidance"] = (self.guidance, guidance)
        return found


@dataclass(frozen=True, eq=False)
class LearnedTable:
    """A table and what it was learned for.

    Parameters
    ----------
    table
        The coefficients.
    fingerprint
        What they belong to.
    facts
        Other facts in JSON values, such as held-out errors.
    """

    table: Table
    fingerprint: Fingerprint
    facts: Mapping[str, Any]

    @classmethod
    def bind(
        cls,
        table: Table,
        model: Any,
        process: Process,
        *,
        condition: str = "",
        guidance: tuple[float, float] = (0.0, 0.0),
        **facts: Any,
    ) -> LearnedTable:
        """Bind a table to what it was learned for.

        Parameters
        ----------
        table
            The coefficients.
        model
            See `model_hash`.
        process
            Process of the run.
        condition
            What the conditions were, in words.
        guidance
            Least and largest strength of guidance; 0 is none.
        **facts
            Other facts in JSON values.
        """
        if not guidance[0] <= guidance[1]:
            raise ConfigError(f"guidance runs over {guidance}; expected the least strength first")
        fingerprint = Fingerprint(model_hash(model), process_text(process), condition, tuple(guidance), table.steps)
        return cls(table, fingerprint, facts)

    def rule(
        self,
        model: Any,
        process: Process,
        *,
        condition: str = "",
        guidance: float = 0.0,
        calls: int | None = None,
        force: bool = False,
    ) -> TableRule:
        """Return the rule, after a look at what it will be used with.

        Parameters
        ----------
        model, process, condition, guidance
            What it will be used with; see `bind`.
        calls
            Calls that are expected of it; any by default.
        force
            Use it in spite of differences.

        Raises
        ------
        FingerprintError
            If something differs and `force` is not set.
        """
        calls = self.table.steps if calls is None else calls
        found = self.fingerprint.differences(model_hash(model), process_text(process), condition, guidance, calls)
        if found and not force:
            raise FingerprintError(found)
        return TableRule(self.table)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        whole = {
            "format_version": FORMAT_VERSION,
            "provenance": provenance(),
            "fingerprint": asdict(self.fingerprint),
            "facts": dict(self.facts),
            "table": self.table.as_dict(),
        }
        with atomic_write(path) as file:
            json.dump(whole, file, indent=1, allow_nan=False)

    @classmethod
    def load(cls, path: str | Path) -> LearnedTable:
        """Read what `save` wrote; the table is checked again.

        Raises
        ------
        DataError
            If the file holds no learned table of this format.
        """
        try:
            whole = json.loads(Path(path).read_text(encoding="utf-8"))
            version, own = whole["format_version"], dict(whole["fingerprint"])
            own["guidance"] = tuple(own["guidance"])
            parts = Table.from_dict(whole["table"]), Fingerprint(**own), dict(whole["facts"])
        except ScidiffError:
            raise
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} holds no learned table ({error}); expected a file of LearnedTable.save") from error
        if version != FORMAT_VERSION:
            raise DataError(f"{path} has format_version {version}; this scidiff reads {FORMAT_VERSION}; learn it anew")
        return cls(*parts)
