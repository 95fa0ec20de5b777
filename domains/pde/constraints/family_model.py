"""The bundled flows of the families: load one, and sample under what is fixed by any method.

    model = pde.load("heat")
    samples = model.sample(64, fixed=0.3, seed=0)        # the slice of phi = 0.3 pi, and all masses

Every sample carries its certificate, the largest violation of all that is fixed, in ``records["constraint"]``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import CheckpointError, ConfigError
from scidiff.io.checkpoint import load_into, load_model
from scidiff.io.files import atomic_write
from scidiff.random import Noise
from scidiff.sample.samples import Samples, Status

from .cases import CASES, FamilyCase, conditioned
from .functional import FieldFlow, ModeNet
from .interface import Method
from .reference_law import ReferenceLaw

__all__ = ["FamilyModel", "FamilySamples", "load_family", "packed_law", "rounded_law", "unpacked_law"]

_DOMAIN = "pde/family"
_BOUND = 1e-12


def packed_law(law: ReferenceLaw) -> dict[str, Tensor]:
    """Tensors of a reference law, its modes in half precision."""
    return {
        "law.mean": law.mean.float(),
        "law.modes": law.modes.half(),
        "law.variances": law.variances.double(),
        "law.rest": torch.tensor(law.rest, dtype=torch.float64),
    }


def unpacked_law(tensors: Mapping[str, Tensor]) -> ReferenceLaw:
    """Reference law of `packed_law`; its modes are made orthonormal again, which changes them by round-off of half."""
    rough = tensors["law.modes"].double()
    q, r = torch.linalg.qr(rough.T)
    modes = (q * r.diagonal().sign()).T.contiguous()
    rest = float(tensors["law.rest"])
    return ReferenceLaw(tensors["law.mean"].double(), modes, tensors["law.variances"].double(), rest)


def rounded_law(law: ReferenceLaw) -> ReferenceLaw:
    """The law as it comes back from a file."""
    return unpacked_law(packed_law(law))


def load_family(path: str | Path, *, device: str = "cpu") -> FamilyModel:
    """Load a model file of a family; see `scidiff.domains.pde.models.load` for names.

    Parameters
    ----------
    path
        The weights, with their card beside them.
    device
        Where it runs: cpu, since the linear algebra of constraints is float64 there.

    Raises
    ------
    CheckpointError, IntegrityError
        If the file is damaged, or of something else.
    ConfigError
        If another device was asked for.
    """
    tensors, card = load_model(path)
    task = card.get("task", {})
    if task.get("domain") != _DOMAIN or task.get("family") not in CASES:
        raise CheckpointError(f"{path} is a model of domain '{task.get('domain')}'; expected one of {_DOMAIN}")
    if device != "cpu":
        raise ConfigError(f"device '{device}' came; a flow of a family runs on the cpu")
    law, case = unpacked_law(tensors), CASES[task["family"]]
    network = ModeNet(law.variances, task["width"], task["blocks"], given=task["given"])
    inner = {name.removeprefix("denoiser."): value for name, value in tensors.items() if name.startswith("denoiser.")}
    load_into(network, inner, card)
    return FamilyModel(Path(path).stem, case, FieldFlow(law, network.eval().requires_grad_(False)), card)


@dataclass(frozen=True)
class FamilySamples(Samples):
    """Samples whose items are fields over space and time, shape ``(points, frames)``.

    ``records["constraint"]`` is the largest violation of what is fixed, ``records["initial"]`` that of the initial
    slice; a sample is ``ok`` if the first is at most 1e-12 or nothing was asked to hold exactly.
    """

    @property
    def fields(self) -> np.ndarray:
        """All fields, shape ``(count, points, frames)``."""
        return np.stack(self.items)

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from ..display import families_card

        return families_card(self)

    def save(self, path: str | Path) -> Path:
        """Write fields, seed and certificates to an ``.npz`` file."""
        path = Path(path)
        if path.suffix != ".npz":
            raise ConfigError(f"the file is '{path}'; expected a name that ends in .npz")
        with atomic_write(path, "wb") as file:
            np.savez_compressed(
                file,
                field=self.fields,
                seed=self.seed,
                index=self.index,
                **{f"certificate_{name}": values for name, values in self.records.items()},
            )
        return path


@dataclass(frozen=True)
class FamilyModel:
    """A flow of a family of solutions.

    Parameters
    ----------
    name
        Name of the model file.
    case
        The family and its settings.
    flow
        The flow.
    card
        The model's card.
    """

    name: str
    case: FamilyCase
    flow: FieldFlow
    card: Mapping[str, Any] = field(default_factory=dict)

    def slices(self, fixed: Tensor) -> Tensor:
        """Initial slices of fixed numbers, as the network is given them, shape ``(count, points)``."""
        some = self.case.family.solve(fixed, torch.full_like(fixed, 0.5))
        return (some - self.flow.law.mean)[:, 0, :, 0]

    def sample(
        self,
        count: int,
        *,
        fixed: float | Tensor = 0.5,
        method: Method | None = None,
        steps: int = 20,
        seed: int = 0,
        told: bool | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> FamilySamples:
        """Draw fields under what is fixed.

        Parameters
        ----------
        count
            Number of fields.
        fixed
            The fixed number of the family in (0, 1), or one for each field.
        method
            Any method of `scidiff.domains.pde.constraints.methods`; by default the network is told the initial slice,
            and corrected in the metric of the posterior covariance.
        steps, seed
            Intervals of the clock, and the seed of the run.
        told
            Whether the network is told the initial slice; by default where no method is named.
        progress
            Called with the number of fields, which are drawn together.

        Raises
        ------
        ConfigError
            If a number is out of range.
        """
        if count < 1 or steps < 2:
            raise ConfigError(f"count is {count} and steps {steps}; expected at least 1 and 2")
        values = torch.as_tensor(fixed, dtype=torch.float64).expand(count)
        if not bool(((values > 0) & (values < 1)).all()):
            raise ConfigError(f"fixed is {fixed}; expected numbers in (0, 1)")
        begun, noise = time.perf_counter(), Noise.range(seed, count)
        chosen = conditioned(self.case, self.flow.law) if method is None else method
        told = method is None if told is None else told
        constraint = self.case.family.constraint(values)
        options = {"steps": steps, "noise": noise, "condition": self.slices(values) if told else None}
        end = chosen.draw(self.flow.denoiser, self.flow.process, constraint, **options)
        if progress is not None:
            progress(count)
        seconds = round(time.perf_counter() - begun, 4)
        facts = {**self._facts(chosen), "told": told, "steps": steps, "seconds": seconds}
        records = {
            "constraint": constraint.violation(end.x).numpy(),
            "initial": self.case.family.initial(values).violation(end.x).numpy(),
        }
        status = _status(end.x, records["constraint"])
        return FamilySamples(list(end.x[:, 0].numpy()), status, noise.samples, seed, end.calls.numpy(), records, facts)

    def _facts(self, method: Method) -> dict[str, Any]:
        """Provenance of samples."""
        return {
            "model": self.name,
            "model_sha256": self.card.get("sha256"),
            "method": type(method).__name__,
            "label": method.label,
            "citation": method.citation,
        }


def _status(fields: Tensor, violation: np.ndarray) -> list[Status]:
    """Say of each field whether it is finite and keeps its constraint."""
    finite = fields.flatten(1).isfinite().all(1).tolist()
    return [
        Status.NON_FINITE if not fine else Status.OK if bad <= _BOUND else Status.INVALID
        for fine, bad in zip(finite, violation.tolist(), strict=True)
    ]
