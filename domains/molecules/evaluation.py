"""Evaluation of molecules against a data set known by name, or against sets of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scidiff.errors import ConfigError

from .metrics import Report, Settings
from .metrics import evaluate as compare
from .recipes import reference_data
from .samples import MoleculeSamples

__all__ = ["evaluate"]


def evaluate(
    molecules: MoleculeSamples | Sequence[str | None],
    data: str | None = None,
    *,
    reference: Sequence[str] | None = None,
    train: Sequence[str] | None = None,
    seed: int = 0,
    fcd: bool = True,
    settings: Settings | None = None,
) -> Report:
    """Compute the MOSES and GuacaMol metrics, each with its interval, and those of the training set beside them.

    Parameters
    ----------
    molecules
        Samples, or SMILES with ``None`` for a failed attempt.
    data
        Name of a data set: its held-out part is the reference, its training part decides novelty.
    reference, train
        SMILES of sets of one's own, instead of `data`.
    seed
        Seed of subsamples and intervals.
    fcd
        Whether to compute the Frechet ChemNet distance, the slow part.
    settings
        Workers, threads, cache, labels; see `scidiff.domains.molecules.metrics.Settings`.

    Raises
    ------
    ConfigError
        If neither or both of `data` and `reference` came.
    """
    if (data is None) == (reference is None):
        raise ConfigError("evaluate needs data='qm9' (or another name), or reference=[...]: exactly one of the two")
    smiles = molecules.smiles if isinstance(molecules, MoleculeSamples) else molecules
    how = settings or Settings()
    if data is not None:
        known = reference_data(data)
        reference, train, how = known.valid, known.train, replace(how, split=known.name)
    return compare(smiles, reference=reference or (), train=train, seed=seed, fcd=fcd, settings=how)
