"""The judgement of a conformer model: bond lengths and angles of held-out molecules, beside two classical rows.

The reference is a set of ETKDGv3 + MMFF94 conformers of molecules that the model was not trained on. The same distance
to it is measured of three sets: the model's samples; *ETKDG*, embedded with another seed and not relaxed; and the
*floor*, a second independent set made as the reference is, which no method is expected to beat. See `metrics`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scidiff.domain import Row
from scidiff.random import Noise

from ..metrics.intervals import bootstrap_mean
from .data import ConformerSet, common, conformer_set, embed
from .metrics import Comparison, Measured, angles, bonds, compare, within
from .model import ConformerModel
from .recipe import held_out

__all__ = ["BARS", "Study", "study_rows"]

BARS = {"bond lengths": 0.02, "bond angles": 3.0}
"""Largest pooled W1 that passes, Å and degrees."""
_CLOSE = {"bond lengths": 0.1, "bond angles": 10.0}
_UNITS = {"bond lengths": "Å", "bond angles": "degrees"}
_MEASURES = {"bond lengths": bonds, "bond angles": angles}
_ETKDG = "ETKDGv3 without MMFF94"
_TIMED = 50


@dataclass(frozen=True)
class Study:
    """Classical sets of the same molecules.

    Parameters
    ----------
    reference, second, raw
        The reference, the second set made alike, and ETKDG alone.
    """

    reference: ConformerSet
    second: ConformerSet
    raw: ConformerSet

    @classmethod
    def of(cls, smiles: Sequence[str], each: int, *, progress: bool = True) -> Study:
        """Make the sets, cut to the molecules that all of them have.

        Parameters
        ----------
        smiles
            Molecules without stereo marks.
        each
            Conformers of each molecule in each set.
        progress
            Show bars on a terminal.
        """
        made = [conformer_set(smiles, each, seed, relax=seed < 3, progress=progress) for seed in (1, 2, 3)]
        return cls(*common(*made))

    @property
    def each(self) -> int:
        """Conformers of each molecule."""
        return self.reference.positions.shape[1]

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Lengths and angles of the reference."""
        return {name: measure(self.reference) for name, measure in _MEASURES.items()}

    def draw(self, model: ConformerModel, steps: int, seed: int) -> tuple[ConformerSet, float]:
        """Conformers of the same molecules from a model, and the seconds that they took."""
        rows = np.arange(len(self.reference)).repeat(self.each)
        begun = time.perf_counter()
        positions = model.positions(self.reference.graphs, rows, Noise.range(seed, len(rows)), steps=steps)
        seconds = time.perf_counter() - begun
        shape = self.reference.positions.shape
        return ConformerSet(self.reference.smiles, positions.reshape(shape), 0), seconds

    def classical_rate(self, seed: int) -> float:
        """Conformers per second of the method of the reference, for the first molecules."""
        molecules = self.reference.molecules[:_TIMED]
        begun = time.perf_counter()
        for molecule in molecules:
            embed(molecule, self.each, seed)
        return len(molecules) * self.each / (time.perf_counter() - begun)

    def whole(self, found: ConformerSet) -> np.ndarray:
        """Share of the conformers of each molecule whose every bond and angle is close to one of the reference."""
        count = len(self.reference)
        close = [within(_MEASURES[n](found), self.measured[n], most, count) for n, most in _CLOSE.items()]
        return np.logical_and(*close).mean(1)

    def compare(self, found: ConformerSet, name: str, seed: int) -> Comparison:
        """Distance of one quantity of a set to the reference."""
        return compare(_MEASURES[name](found), self.measured[name], seed=seed)


def study_rows(model: ConformerModel, count: int, each: int, steps: Sequence[int], seed: int) -> Iterator[Row]:
    """Measure a model and the classical sets.

    Parameters
    ----------
    model
        The model.
    count, each
        Held-out molecules, and conformers of each; molecules that RDKit cannot embed or relax are left out.
    steps
        Network calls to measure at.
    seed
        Of the samples and of the bootstrap.
    """
    study = Study.of(held_out(count), each)
    classical: dict[str, Comparison] = {}
    note = f"{len(study.reference)} held-out molecules, {study.each} conformers each"
    raw = study.whole(study.raw)
    yield _whole_row("ETKDG whole shapes", raw, seed, note)
    yield _whole_row("second MMFF94 set whole shapes", study.whole(study.second), seed, note)
    for name in BARS:
        classical[name] = study.compare(study.raw, name, seed)
        yield from _rows(f"ETKDG {name}", name, classical[name], note)
        yield from _rows(f"second MMFF94 set {name}", name, study.compare(study.second, name, seed), note)
    classical_rate = study.classical_rate(seed)
    for calls in steps:
        found, seconds = study.draw(model, calls, seed)
        for name in BARS:
            result = study.compare(found, name, seed)
            yield from _rows(f"conformer {name}, {calls} calls", name, result, note, classical[name], calls, seconds)
        title = f"conformer whole shapes, {calls} calls"
        yield _whole_row(title, study.whole(found), seed, note, float(raw.mean()), calls)
        yield Row(
            f"conformers per second, {calls} calls",
            "measured",
            len(found) * study.each / seconds,
            baseline=classical_rate,
            baseline_name="ETKDGv3 and MMFF94, one thread",
            unit="1/s",
            calls=calls,
            seconds=seconds,
            note=note,
        )


def _whole_row(
    title: str, shares: np.ndarray, seed: int, note: str, classical: float | None = None, calls: int | None = None
) -> Row:
    """Row of the share of conformers that are close to the reference in every bond and angle."""
    return Row(
        title,
        "measured",
        float(shares.mean()),
        tuple(bootstrap_mean(shares, seed=seed)),
        baseline=classical,
        baseline_name="" if classical is None else _ETKDG,
        calls=calls,
        note=f"{note}; every bond within 0.1 Å and every angle within 10 degrees of a reference conformer's",
    )


def _rows(
    title: str,
    name: str,
    result: Comparison,
    note: str,
    classical: Comparison | None = None,
    calls: int | None = None,
    seconds: float | None = None,
) -> Iterator[Row]:
    """Rows of the pooled distance, of the worst type, and of single bonds or angles of single molecules."""
    titles = {"pooled": "W1", "worst": "W1 of the worst type", "local": "W1 within one molecule"}
    for part, words in titles.items():
        more = f"; {result.worst_kind}" if part == "worst" else ""
        yield Row(
            f"{title}, {words}",
            "measured",
            getattr(result, part),
            result.intervals[part],
            bar=BARS[name] if part == "pooled" and calls is not None else None,
            above=False,
            baseline=None if classical is None else getattr(classical, part),
            baseline_name="" if classical is None else _ETKDG,
            unit=_UNITS[name],
            calls=calls,
            seconds=seconds,
            note=f"{note}, {result.count} values{more}",
        )
