"""A second formulation of backbones: an SE(3) flow on the frames N, CA, C, with invariant point attention.

    from scidiff.domains.proteins import frames, load
    result = frames.train("runs/frames")
    samples = load(result.model).sample(8, length=64, seed=0)

`rotations` and `process` say how frames are noised, `attention` and `network` predict, `task` and `recipe` learn,
`drawing` draws and brings every chain onto exact local geometry, `model` is what is loaded. No trained weights come
with the package: training is estimated at half an hour of a GPU, and until then chains are valid, but not folded.
Names load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .model import FrameModel as FrameModel
    from .recipe import train as train
    from .rotations import RotationDiffusion as RotationDiffusion
    from .rotations import RotationFlow as RotationFlow

__all__ = ["FrameModel", "RotationDiffusion", "RotationFlow", "train"]

_LAZY = {"FrameModel": "model", "RotationDiffusion": "rotations", "RotationFlow": "rotations", "train": "recipe"}

__getattr__ = lazy(__name__, _LAZY)
