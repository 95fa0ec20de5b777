"""Partial differential equations: solutions that satisfy their equation, with a certificate that says how well.

from scidiff.domains import pde
darcy = pde.problem("darcy", size=64)
state = darcy.truth(seed=0, count=4)       # inputs drawn, equation solved
pde.certify(darcy, state).as_json()        # residual, conserved quantities, distance from an independent solution
flows = pde.load("flow").sample(16, obstacles="drawn.png", steps=4, seed=0)
flows.records["divergence"].max()          # 1e-15: around any obstacles, at any number of steps
pairs = pde.load("darcy").sample(16, sensors="readings.csv", steps=10)     # media and heads given what was read
pairs.records["residual"].max()            # 1e-12: every head solves the equation for its medium
around = pde.sample(pde.problem("mesh_flow"), 16, seed=0)      # exact, on a mesh with a hole as on a grid
pde.validate(around.save("around.nc")).passed                  # everything computed anew from the file
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scidiff.domain import Domain, deferred, lazy

if TYPE_CHECKING:
    from .certificate import Certificate as Certificate
    from .certificate import certify as certify
    from .contract import Problem as Problem
    from .darcy.model import DarcyModel as DarcyModel
    from .flow_model import FlowModel as FlowModel
    from .function_space import FieldSamples as FieldSamples
    from .function_space import sample as sample
    from .models import load as load
    from .problems import problem as problem
    from .validation import validate as validate

__all__ = [
    "DOMAIN",
    "Certificate",
    "DarcyModel",
    "FieldSamples",
    "FlowModel",
    "Problem",
    "certify",
    "load",
    "problem",
    "sample",
    "validate",
]

_LAZY = {
    "Certificate": "certificate",
    "DarcyModel": "darcy.model",
    "FieldSamples": "function_space",
    "FlowModel": "flow_model",
    "Problem": "contract",
    "certify": "certificate",
    "load": "models",
    "problem": "problems",
    "sample": "function_space",
    "validate": "validation",
}

DOMAIN = Domain(
    name="pde",
    title="Partial differential equations",
    home=Path(__file__).parent,
    cli="scidiff.domains.pde.cli:app",
    demo=deferred("scidiff.domains.pde.demo:demo"),
    bench_rows=deferred("scidiff.domains.pde.benchmark:rows"),
    campaign="scidiff.domains.pde.campaign:ADAPTER",
)

__getattr__ = lazy(__name__, _LAZY)
