"""A diffusion model of protein backbones: torsions and CA together, under a plan of helices and strand pairs.

    from scidiff.domains import proteins
    samples = proteins.load("chains").sample(8, length=64, seed=0)
    samples.save("chains.cif")

`process` says how torsions and CA are noised, `plans` what a plan is, `network`, `task` and `recipe` learn, `fit`
brings a prediction onto the backbones of exact local geometry, `model` draws. Names load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .model import TorsionModel as TorsionModel
    from .model import load as load
    from .recipe import train as train
    from .samples import BackboneSamples as BackboneSamples

__all__ = ["BackboneSamples", "TorsionModel", "load", "train"]

_LAZY = {"BackboneSamples": "samples", "TorsionModel": "model", "load": "model", "train": "recipe"}

__getattr__ = lazy(__name__, _LAZY)
