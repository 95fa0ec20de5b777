"""Molecules in campaigns: what a shard holds, and the scores by name.

A row has its canonical ``smiles``, its Bemis-Murcko ``scaffold`` (empty without a ring), ``size`` in heavy atoms and
``cost``, the nats that the valence projection took; where a campaign steers, also ``log_z`` of its group of particles.
Every good row is judged again by RDKit alone. Rows are compared by Morgan fingerprints of radius 2 with 1024 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, Lipinski, rdDepictor, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from scidiff.domain import CampaignAdapter, Candidates
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.io.checkpoint import card_path, read_json
from scidiff.io.files import atomic_write, sha256_file
from scidiff.sample.samples import Status

from .metrics.sascore import sa_score
from .model import MoleculeModel, bundled, load
from .scaffold import Scaffold
from .steering import Steering
from .validation import validate
from .vocabulary import Vocabulary

__all__ = ["ADAPTER"]

_BITS = 1024
Columns = Mapping[str, Sequence[Any]]


def _path(model: str) -> Path:
    """Find the file of a model."""
    known = bundled()
    path = known.get(model, Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("model", model, known)
    return path


def _fingerprint(model: str) -> str:
    """SHA-256 of the card, which holds that of the weights and the law of the sizes."""
    return sha256_file(card_path(_path(model)))


def _sample(
    model: MoleculeModel,
    condition: Mapping[str, Any],
    indices: range,
    steps: int,
    seed: int,
    steer: Steering | None = None,
) -> Candidates:
    """Draw the molecules of a range of indices, and judge them again."""
    drawn = model.sample(
        len(indices),
        steps=steps,
        seed=seed,
        first=indices.start,
        scaffold=condition.get("scaffold") or None,
        temperature=float(condition.get("temperature", 1.0)),
        bonds_until=float(condition.get("bonds_until", 0.0)),
        steer=steer,
    )
    smiles = drawn.smiles
    verdicts = validate(drawn)
    status, reason = [], []
    for own, verdict in zip(drawn.status, verdicts.reasons, strict=True):
        good = own is Status.OK and verdict == "ok"
        status.append("ok" if good else (own if own is not Status.OK else Status.INVALID).value)
        reason.append("" if good else verdict)
    columns = {
        "smiles": smiles,
        "scaffold": [None if one is None else _scaffold(one) for one in smiles],
        "size": np.asarray(drawn.records["size"], dtype=np.int64),
        "cost": np.asarray(drawn.records["cost"], dtype=np.float64),
        "calls": np.asarray(drawn.calls, dtype=np.int64),
    }
    if steer is not None:
        columns["log_z"] = np.asarray(drawn.records["log_z"], dtype=np.float64)
    return Candidates(status, reason, columns)


def _steer(
    model: MoleculeModel,
    condition: Mapping[str, Any],
    indices: range,
    steps: int,
    seed: int,
    score: Callable[[Columns], Sequence[float | None]],
    strength: float,
    particles: int,
) -> Candidates:
    """Draw molecules of a law tilted by a score."""
    return _sample(model, condition, indices, steps, seed, Steering(_Objective(score), strength, particles))


@dataclass(frozen=True)
class _Objective:
    """A score of columns as one of molecules, which have ``smiles``, ``scaffold`` and ``size``."""

    score: Callable[[Columns], Sequence[float | None]]

    def __call__(self, molecules: Sequence[Chem.Mol]) -> Sequence[float | None]:
        smiles = [Chem.MolToSmiles(molecule) for molecule in molecules]
        size = np.array([molecule.GetNumHeavyAtoms() for molecule in molecules], dtype=np.int64)
        return self.score({"smiles": smiles, "scaffold": [_scaffold(one) for one in smiles], "size": size})


def _scaffold(smiles: str) -> str:
    scaffold = MurckoScaffold.GetScaffoldForMol(_molecule(smiles))
    return Chem.MolToSmiles(scaffold) if scaffold.GetNumAtoms() else ""


@lru_cache(maxsize=4096)
def _molecule(smiles: str) -> Chem.Mol:
    """Read a SMILES once for all scores of a shard."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ConfigError(f"'{smiles}' cannot be read as a SMILES; correct it")
    return molecule


def _each(function: Callable[[Chem.Mol], float]) -> Callable[[Columns], list[float]]:
    """Make a score of a number of one molecule."""

    def score(columns: Columns) -> list[float]:
        return [float(function(_molecule(smiles))) for smiles in columns["smiles"]]

    return score


@lru_cache(maxsize=8)
def _generator() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_BITS)


def _similarity(columns: Columns, reference: Sequence[str] | str = ()) -> list[float]:
    """Largest Tanimoto similarity of Morgan fingerprints to the reference molecules."""
    texts = [reference] if isinstance(reference, str) else list(reference)
    if not texts:
        raise ConfigError("'reference' is empty; give one SMILES, or several")
    wanted = [_generator().GetFingerprint(_molecule(text)) for text in texts]
    found = (_generator().GetFingerprint(_molecule(smiles)) for smiles in columns["smiles"])
    return [max(DataStructs.BulkTanimotoSimilarity(one, wanted)) for one in found]


def _contains(columns: Columns, smarts: str) -> list[float]:
    """1 where a molecule contains a pattern, else 0."""
    pattern = Chem.MolFromSmarts(smarts)
    if pattern is None:
        raise ConfigError(f"'{smarts}' cannot be read as a SMARTS; correct it")
    return [float(_molecule(smiles).HasSubstructMatch(pattern)) for smiles in columns["smiles"]]


def _features(columns: Columns) -> np.ndarray:
    """Packed Morgan fingerprints."""
    rows = [np.packbits(_generator().GetFingerprintAsNumPy(_molecule(smiles))) for smiles in columns["smiles"]]
    return np.array(rows, dtype=np.uint8)


def _write_sdf(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write molecules with two-dimensional coordinates and their columns as properties."""
    with atomic_write(path) as file, Chem.SDWriter(file) as writer:
        for row in rows:
            if row["smiles"] is None:
                continue
            molecule = Chem.Mol(_molecule(row["smiles"]))
            rdDepictor.Compute2DCoords(molecule)
            for name, value in row.items():
                if value is not None and not isinstance(value, bytes):
                    molecule.SetProp(name, str(value))
            molecule.SetProp("campaign", str(provenance["hash"]))
            writer.write(molecule)


def _write_smi(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write one SMILES a line."""
    with atomic_write(path) as file:
        file.writelines(f"{row['smiles']}\n" for row in rows if row["smiles"] is not None)


def _check_temperature(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e3:
        raise ConfigError(f"temperature is {value!r}; expected a number above 0, where 1 changes nothing")


def _check_time(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"bonds_until is {value!r}; expected a time from 0 to 1")


def _check_scaffold(model: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"scaffold is {value!r}; expected a SMILES or SMARTS, or an empty text for none")
    if value:
        task = read_json(card_path(_path(model)))["task"]
        vocabulary = Vocabulary.from_json(task["vocabulary"])
        Scaffold.parse(value, vocabulary).sizes(np.array(task["size_prior"]), vocabulary)


ADAPTER = CampaignAdapter(
    fingerprint=_fingerprint,
    load=lambda model, device: load(model, device=device),
    sample=_sample,
    conditions={"temperature": _check_temperature, "scaffold": _check_scaffold, "bonds_until": _check_time},
    scores={
        "logp": _each(Crippen.MolLogP),
        "sa": _each(sa_score),
        "qed": _each(QED.qed),
        "weight": _each(Descriptors.MolWt),
        "tpsa": _each(rdMolDescriptors.CalcTPSA),
        "donors": _each(Lipinski.NumHDonors),
        "acceptors": _each(Lipinski.NumHAcceptors),
        "rotatable": _each(rdMolDescriptors.CalcNumRotatableBonds),
        "rings": _each(rdMolDescriptors.CalcNumRings),
        "fraction_sp3": _each(rdMolDescriptors.CalcFractionCSP3),
        "similarity": _similarity,
        "contains": _contains,
    },
    features=_features,
    key="smiles",
    group="scaffold",
    writers={".sdf": _write_sdf, ".smi": _write_smi},
    steer=_steer,
)
