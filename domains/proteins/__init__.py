"""Proteins as backbones that are right to the bond, each with its report.

from scidiff.domains import proteins
structure = proteins.read("1abc.cif")
report = proteins.validate(structure.chains)      # rules, gates, quantiles among real chains
trimer = proteins.parse_symmetry("C3").assemble(structure.chains)
proteins.write("trimer.cif", trimer)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scidiff.domain import Domain, deferred, lazy

if TYPE_CHECKING:
    from .chains import Chains as Chains
    from .contigs import parse_contigs as parse_contigs
    from .design import Design as Design
    from .errors import StructureError as StructureError
    from .evaluation import evaluate as evaluate
    from .motif import graft as graft
    from .motif import motif_rmsd as motif_rmsd
    from .repair import refit as refit
    from .repair import relax as relax
    from .structures import read as read
    from .symmetry import parse_symmetry as parse_symmetry
    from .torsion.model import TorsionModel as TorsionModel
    from .torsion.model import load as load
    from .torsion.recipe import train as train
    from .validation import validate as validate
    from .writers import write as write

__all__ = [
    "DOMAIN",
    "Chains",
    "Design",
    "StructureError",
    "TorsionModel",
    "evaluate",
    "graft",
    "load",
    "motif_rmsd",
    "parse_contigs",
    "parse_symmetry",
    "read",
    "refit",
    "relax",
    "train",
    "validate",
    "write",
]

_LAZY = {
    "Chains": "chains",
    "Design": "design",
    "StructureError": "errors",
    "TorsionModel": "torsion.model",
    "evaluate": "evaluation",
    "graft": "motif",
    "load": "torsion.model",
    "motif_rmsd": "motif",
    "parse_contigs": "contigs",
    "parse_symmetry": "symmetry",
    "read": "structures",
    "refit": "repair",
    "relax": "repair",
    "train": "torsion.recipe",
    "validate": "validation",
    "write": "writers",
}

DOMAIN = Domain(
    name="proteins",
    title="Protein backbones",
    home=Path(__file__).parent,
    cli="scidiff.domains.proteins.cli:app",
    datasets="scidiff.domains.proteins.data:DATASETS",
    demo=deferred("scidiff.domains.proteins.demo:demo"),
    bench_rows=deferred("scidiff.domains.proteins.benchmark:rows"),
    campaign="scidiff.domains.proteins.campaign:ADAPTER",
)

__getattr__ = lazy(__name__, _LAZY)
