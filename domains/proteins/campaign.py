"""Backbones in campaigns: a grid of lengths, temperatures and plans, many chains of each.

A row has its ``backbone``, N, CA and C in Å of shape ``(length, 3, 3)``, the numbers of the sampler, and of
`scidiff.domains.proteins.validate` the local rules, the gates and what scores ask for. It is valid where the chain
follows the local rules. Two rows are compared by the CA trace, cut into 16 pieces of equal length: the distance of two
feature rows is the root mean square deviation of the 120 distances between the ends of pieces, in Å.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.domain import CampaignAdapter, Candidates
from scidiff.errors import ConfigError, DataError, UnknownNameError
from scidiff.io.checkpoint import card_path
from scidiff.io.files import atomic_write, sha256_file

from .chains import Chains
from .torsion.model import LONGEST, SHORTEST, bundled, load
from .torsion.plans import read_plan
from .validation import Report, validate
from .writers import write

__all__ = ["ADAPTER"]

_POINTS = 16
_NUMBERS = (
    "clashes",
    "contact_order",
    "favoured",
    "helix",
    "long_range",
    "outliers",
    "psea_helix",
    "psea_strand",
    "rg_ratio",
    "strand",
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
Columns = Mapping[str, Sequence[Any]]


def _path(model: str) -> Path:
    """Find the file of a model."""
    known = bundled()
    path = known.get(model, Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("protein model", model, known)
    return path


def _sample(model: Any, condition: Mapping[str, Any], indices: range, steps: int, seed: int) -> Candidates:
    """Draw the chains of a range of indices, and judge them."""
    settings = {name: condition[name] for name in ("length", "temperature") if name in condition}
    if condition.get("secondary"):
        settings["secondary"] = condition["secondary"]
    drawn = model.sample(len(indices), steps=steps, seed=seed, first=indices.start, **settings)
    chains: Chains = drawn.chains
    status = [each.value for each in drawn.status]
    finite = [each != "non_finite" for each in status]
    report = validate(chains)
    columns = {
        "backbone": [_xyz(chains, row) if sound else None for row, sound in enumerate(finite)],
        "length": chains.mask.sum(1).numpy().astype(np.int64),
        "calls": np.asarray(drawn.calls, dtype=np.int64),
        "passed": report.passed.numpy().astype(np.int64),
        **{name: np.asarray(values, dtype=np.float64) for name, values in drawn.records.items()},
        **{name: report.numbers[name].double().numpy() for name in _NUMBERS if name in report.numbers},
    }
    plans = getattr(drawn, "plans", None)
    if plans is not None:
        columns["plan"] = list(plans)
    return Candidates(status, _reasons(report, status), columns)


def _xyz(chains: Chains, row: int) -> np.ndarray:
    return chains.xyz[row][chains.mask[row]].float().numpy()


def _reasons(report: Report, status: Sequence[str]) -> list[str]:
    """Say which rules a chain breaks."""
    rules = report.rules
    said = []
    for row, each in enumerate(status):
        broken = " ".join(name for name, good in rules.items() if not good[row])
        said.append({"ok": "", "non_finite": "a coordinate is not finite"}.get(each, f"breaks {broken}"))
    return said


def _column(name: str, columns: Columns) -> list[float]:
    """One of the numbers of a row as a score."""
    return [float(value) for value in columns[name]]


def _regular(columns: Columns) -> list[float]:
    """Share of residues in helices and strands by P-SEA."""
    return [float(a + b) for a, b in zip(columns["psea_helix"], columns["psea_strand"], strict=True)]


def _features(columns: Columns) -> np.ndarray:
    """Distances between the ends of pieces of the CA trace, over the root of their number, Å."""
    pairs = np.triu_indices(_POINTS, 1)
    rows = []
    for xyz in columns["backbone"]:
        ca = xyz[:, 1]
        where = np.linspace(0, len(ca) - 1, _POINTS)
        trace = np.stack([np.interp(where, np.arange(len(ca)), ca[:, axis]) for axis in range(3)], 1)
        apart = np.linalg.norm(trace[:, None] - trace[None], axis=-1)
        rows.append(apart[pairs] / len(pairs[0]) ** 0.5)
    return np.array(rows, dtype=np.float32)


def _chain(row: Mapping[str, Any]) -> Chains:
    xyz = torch.from_numpy(np.ascontiguousarray(row["backbone"]))[None]
    return Chains(xyz, torch.ones(xyz.shape[:2], dtype=torch.bool), names=(str(row["id"]),))


def _header(row: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, object]:
    named = {name: value for name, value in row.items() if isinstance(value, str | int | float) and value != ""}
    return {**named, "campaign": provenance["hash"], "seed": provenance["seed"]}


def _write_cif(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write chains of one length as the models of one mmCIF file."""
    found = [row for row in rows if row["backbone"] is not None]
    lengths = sorted({len(row["backbone"]) for row in found})
    if len(lengths) != 1:
        raise DataError(f"chains of lengths {lengths} came for one file; select one length, or write a .zip")
    names = " ".join(str(row["id"]) for row in found)
    facts = {"campaign": provenance["hash"], "seed": provenance["seed"], "models": names}
    write(path, [_chain({**row, "id": found[0]["id"]}) for row in found], facts)


def _write_zip(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write an archive with one mmCIF file for each chain."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        atomic_write(path, "wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for row in rows:
            if row["backbone"] is not None:
                part = write(Path(scratch) / "chain.cif", _chain(row), _header(row, provenance))
                archive.writestr(zipfile.ZipInfo(f"{row['id']}.cif", _EPOCH), part.read_bytes())


def _check_length(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not SHORTEST <= value <= LONGEST:
        raise ConfigError(f"length is {value!r}; expected a whole number from {SHORTEST} to {LONGEST}")


def _check_temperature(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100:
        raise ConfigError(f"temperature is {value!r}; expected a number above 0, where 1 is that of training")


def _check_secondary(model: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"secondary is {value!r}; expected a word of '-HE?', or an empty text for the model's plans")
    if value:
        read_plan(value)


ADAPTER = CampaignAdapter(
    fingerprint=lambda model: sha256_file(card_path(_path(model))),
    load=lambda model, device: load(model, device=device),
    sample=_sample,
    conditions={"length": _check_length, "temperature": _check_temperature, "secondary": _check_secondary},
    scores={"regular": _regular, **{name: partial(_column, name) for name in ("length", "passed", *_NUMBERS)}},
    features=_features,
    writers={".cif": _write_cif, ".zip": _write_zip},
)
