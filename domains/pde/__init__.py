"""Partial differential equations: solutions that satisfy their equation, with a certificate that says how well.

from scidiff.domains import pde
darcy = pde.problem("darcy", size=64)
state = darcy.truth(seed=0, count=4)       # inputs drawn, equation solved
pde.certify(darcy, state).as_json()        # residual, conserved quantities, distance from an independent solution
flows = pde.load("flow").sample(16, obstacles="drawn.png", steps=4, seed=0)
flows.records["divergence"].max()          # 1e-15: around any obstacles, at any number of steps
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scidiff.domain import Domain, deferred, lazy

if TYPE_CHECKING:
    from .certificate import Certificate as Certificate
    from .certificate import certify as certify
    from .contract import Problem as Problem
    from .flow_model import FlowModel as FlowModel
    from .models import load as load
    from .problems import problem as problem

__all__ = ["DOMAIN", "Certificate", "FlowModel", "Problem", "certify", "load", "problem"]

_LAZY = {
    "Certificate": "certificate",
    "FlowModel": "flow_model",
    "Problem": "contract",
    "certify": "certificate",
    "load": "models",
    "problem": "problems",
}

DOMAIN = Domain(
    name="pde",
    title="Partial differential equations",
    home=Path(__file__).parent,
    cli="scidiff.domains.pde.cli:app",
    demo=deferred("scidiff.domains.pde.demo:demo"),
    bench_rows=deferred("scidiff.domains.pde.benchmark:rows"),
)

__getattr__ = lazy(__name__, _LAZY)
