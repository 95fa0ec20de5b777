"""Three-dimensional shapes of small molecules: a diffusion model of conformers, and how good they are.

    from scidiff.domains.molecules.conformers import load
    samples = load().sample(["OCCO", "C[C@H](N)C=O"], count=4, seed=0)
    samples.save("shapes.sdf")

`data` makes reference conformers with RDKit, `network`, `task` and `recipe` learn them, `model` draws, `metrics` and
`evaluation` compare bond lengths and angles with the reference. Names load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .model import ConformerModel as ConformerModel
    from .model import ConformerSamples as ConformerSamples
    from .model import load as load
    from .recipe import train as train

__all__ = ["ConformerModel", "ConformerSamples", "load", "train"]

_LAZY = {"ConformerModel": "model", "ConformerSamples": "model", "load": "model", "train": "recipe"}

__getattr__ = lazy(__name__, _LAZY)
