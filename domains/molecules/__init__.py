"""Molecules as two-dimensional graphs: generation that is valid by construction.

from scidiff.domains import molecules
model = molecules.load("qm9")
samples = model.sample(1000, steps=20, seed=0)
molecules.validate(samples).valid          # 1.0
samples.save("out.smi")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scidiff.domain import Domain, deferred, lazy

if TYPE_CHECKING:
    from .evaluation import evaluate as evaluate
    from .model import MoleculeModel as MoleculeModel
    from .model import load as load
    from .pyg import from_pyg as from_pyg
    from .pyg import to_pyg as to_pyg
    from .recipes import train as train
    from .samples import MoleculeSamples as MoleculeSamples
    from .scaffold import Scaffold as Scaffold
    from .steering import Steering as Steering
    from .validation import validate as validate

__all__ = [
    "DOMAIN",
    "MoleculeModel",
    "MoleculeSamples",
    "Scaffold",
    "Steering",
    "evaluate",
    "from_pyg",
    "load",
    "to_pyg",
    "train",
    "validate",
]

_LAZY = {
    "MoleculeModel": "model",
    "MoleculeSamples": "samples",
    "Scaffold": "scaffold",
    "Steering": "steering",
    "evaluate": "evaluation",
    "from_pyg": "pyg",
    "load": "model",
    "to_pyg": "pyg",
    "train": "recipes",
    "validate": "validation",
}

DOMAIN = Domain(
    name="molecules",
    title="Molecules as two-dimensional graphs",
    home=Path(__file__).parent,
    cli="scidiff.domains.molecules.cli:app",
    datasets="scidiff.domains.molecules.data:DATASETS",
    demo=deferred("scidiff.domains.molecules.demo:demo"),
    bench_rows=deferred("scidiff.domains.molecules.benchmark:rows"),
    campaign="scidiff.domains.molecules.campaign:ADAPTER",
)

__getattr__ = lazy(__name__, _LAZY)
