"""Three-dimensional shapes of small molecules: a diffusion model of conformers, and how good they are.

    from scidiff.domains.molecules.conformers import load
    samples = load().sample(["OCCO", "C[C@H](N)C=O"], count=4, seed=0)
    samples.save("shapes.sdf")

`data` makes reference conformers with RDKit, `network`, `task` and `recipe` learn them, `model` draws, `metrics` and
`evaluation` compare bond lengths and angles with the reference. Names load when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import ConformerModel as ConformerModel
    from .model import ConformerSamples as ConformerSamples
    from .model import load as load
    from .recipe import train as train

__all__ = ["ConformerModel", "ConformerSamples", "load", "train"]

_LAZY = {"ConformerModel": "model", "ConformerSamples": "model", "load": "model", "train": "recipe"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value
