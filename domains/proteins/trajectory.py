"""The path of one sample as models of one file: the chain that its torsions make at every step, and the finished one.

Each model is superposed on the next, so that a viewer shows the fold appear and not the chain tumble.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.random import Noise

from .backbone import build
from .chains import Chains
from .superpose import apply, kabsch
from .torsions import ideal

if TYPE_CHECKING:
    from .torsion.model import TorsionModel

__all__ = ["trajectory"]


class _Recorded:
    """A model whose denoiser keeps the torsions that it is asked about."""

    def __init__(self, model: TorsionModel) -> None:
        self._model, self.seen = model, []

    def denoiser(self) -> Denoiser:
        inner = self._model.denoiser()

        def function(x: Any, t: Any, condition: Any) -> Any:
            self.seen.append(x["torsion"].double().squeeze(-1).clone())
            return inner(x, t, condition)

        return Denoiser(function, inner.kind)


def _chain(torsions: Tensor) -> Chains:
    """Chain of given phi and psi, trans peptides and ideal geometry."""
    flat = torch.cat((torsions, torch.full_like(torsions[..., :1], torch.pi)), dim=-1)
    mask = torch.ones(flat.shape[:2], dtype=torch.bool)
    return Chains(build(ideal(flat, mask)), mask)


def trajectory(
    model: TorsionModel,
    length: int,
    *,
    steps: int = 20,
    seed: int = 0,
    index: int = 0,
    temperature: float = 1.0,
    relax: bool = True,
) -> list[Chains]:
    """Draw one sample and keep its path.

    Parameters
    ----------
    model
        The model.
    length
        Number of residues.
    steps, seed, index, temperature, relax
        Of the sample, as of `torsion.model.TorsionModel.sample`; its plan is drawn as there.

    Returns
    -------
    list of Chains
        ``steps`` chains of the path and the finished one, one chain each.
    """
    from .torsion.drawing import Drawer
    from .torsion.fit import Fit
    from .torsion.model import of_torsions

    recorded: Any = _Recorded(of_torsions(model, "paths"))
    draw = Drawer(recorded, steps, None, None, 1.0, temperature, relax, Fit())
    (done,) = draw(Noise.range(seed, 1, index), [model.plans.draw(length, seed, index)], length)
    frames = [replace(done.chain, labels=("A",), names=("model",))]
    for torsions in reversed(recorded.seen):
        one, following = _chain(torsions), frames[0]
        x, y = one.xyz.flatten(1, 2), following.xyz.to(one.xyz).flatten(1, 2)
        moved = apply(kabsch(x, y, torch.ones_like(x[..., 0])), x).reshape(one.xyz.shape)
        frames.insert(0, replace(frames[0], xyz=moved))
    return frames
