"""The model of backbones as frames: `load` reads it, `sample` draws.

    plan ~ PlanSource,   (rotations, CA) ~ the flow of `process` under the plan,   chain = fit of both

The law is learned, hence ``biased``; the fit makes every chain one of exact local geometry, whatever the network says.
Conditions, samples and their status are those of `torsion.model.TorsionModel`, whose ``sample`` this is. Rotations may
run on a clock of their own, see `rotations`: ``replace(model, law=RotationFlow(rate=0))`` puts both on one.

No weights come with the package. ``scidiff proteins train --recipe frames --out runs/frames`` makes some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.process.base import Kind

from ..torsion.condition import Condition
from ..torsion.draw_plans import PlanSource
from ..torsion.drawing import Drawer
from ..torsion.model import BackboneModel
from .drawing import FrameDrawer
from .network import FrameConfig, FrameNetwork
from .rotations import RotationFlow, RotationLaw, read_law

__all__ = ["FrameModel"]


@dataclass(frozen=True)
class FrameModel(BackboneModel):
    """A network of frames with the plans that it draws from.

    Parameters
    ----------
    name, network, plans, card
        As of `BackboneModel`.
    law
        Law of the noise of rotations; the one that the network was trained with.
    """

    law: RotationLaw = field(default_factory=RotationFlow)

    @classmethod
    def of_card(cls, name: str, card: Mapping[str, Any]) -> Self:
        """Model of a card, its weights still random."""
        task = card["task"]
        network = FrameNetwork(FrameConfig.from_json(task["network"]))
        return cls(name, network, PlanSource.read(task["plans"]), card, read_law(task["rotations"]))

    @property
    def rule(self) -> str:
        """How samples move, in words."""
        return self.law.words

    def denoiser(self) -> Denoiser:
        """The network as a denoiser of both factors; its condition is one of `condition`."""
        weight, law = next(self.network.parameters()), self.law

        def function(x: dict[str, Tensor], t: dict[str, Tensor], condition: Condition) -> dict[str, Tensor]:
            seen = {name: part.to(weight) for name, part in x.items()}
            time = {"rotation": t["rotation"][..., 0].to(weight), "ca": t["ca"][:, 0, 0].to(weight)}
            told = {name: part.to(weight.device) for name, part in condition.items()}
            found = {name: part.to(x[name]) for name, part in self.network(seen, time, told).items()}
            return {**found, "rotation": law.predict(found["rotation"], x["rotation"], t["rotation"])}

        return Denoiser(function, {"rotation": law.kind, "ca": Kind.TANGENT})

    def drawer(self, **settings: Any) -> Drawer:
        """What draws batches of chains."""
        return FrameDrawer(self, **settings)
