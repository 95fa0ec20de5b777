"""The model of backbones: load it, draw chains.

    plan ~ PlanSource,   (torsions, CA) ~ the flow of `process` under the plan,   chain = fit of both

The flow runs in the core's loop: exponential Adams of order 2 on the torus and on R^3, ``steps`` network calls. Its law
is learned, hence ``biased``. The fit (`fit`) makes every chain one of exact local geometry, whatever the network says:
an untrained network gives valid chains too. Raw and closed chains are both returned.

Temperature scales the CA noise that a run starts from; below 1 chains are more alike. Under a motif the torsions within
it are clean sites of the flow and are kept exactly; its residues keep their pose in a rigid body to the precision that
the fit reaches, which `BackboneSamples.records` tells.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from torch import Tensor, nn

from scidiff.denoise.denoiser import Denoiser
from scidiff.domain import resolve
from scidiff.errors import CheckpointError, ConfigError, UnknownNameError
from scidiff.io.checkpoint import load_into, load_model, place
from scidiff.process.base import Kind
from scidiff.random import Noise

from ..chains import Chains
from .condition import Condition
from .draw_plans import PlanSource
from .drawing import Drawer
from .fit import Fit
from .motif import Motif
from .network import NetworkConfig, TorsionNetwork
from .plans import Plan, read_plan
from .samples import BackboneSamples, build_samples

__all__ = ["LONGEST", "SHORTEST", "BackboneModel", "TorsionModel", "bundled", "load", "load_as", "of_torsions"]

SHORTEST, LONGEST = 20, 100
"""Range of lengths; training chains have 30 to 100 residues."""
_MODELS = MappingProxyType(
    {
        "proteins/chains": "scidiff.domains.proteins.torsion.model:TorsionModel",
        "proteins/frames": "scidiff.domains.proteins.frames.model:FrameModel",
    }
)
"""Class of the model of each domain that a card may name."""
_WEIGHTS = Path(__file__).parent.parent / "weights"


def bundled() -> dict[str, Path]:
    """Bundled models by name."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.safetensors"))}


def load(model: str | Path = "chains", *, device: str = "cpu") -> BackboneModel:
    """Load a bundled model by name, or a model file by path.

    Parameters
    ----------
    model
        Name or path.
    device
        Where the network runs; everything else runs on the CPU.

    Raises
    ------
    UnknownNameError
        If there is neither.
    CheckpointError, IntegrityError
        If the file is damaged or holds another kind of model.
    ConfigError
        If the device cannot be used.

    Examples
    --------
    >>> from scidiff.domains import proteins
    >>> model = proteins.load("chains")
    >>> model.name
    'chains'
    """
    return load_as(model, _MODELS, device)


def load_as(model: str | Path, classes: Mapping[str, str], device: str = "cpu") -> Any:
    """Load a model file whose domain is one of some classes' names; otherwise as `load`.

    Parameters
    ----------
    model
        See `load`.
    classes
        Class of each domain that a card may name, ``"module:name"``; it has ``of_card`` and ``network``.
    device
        See `load`.
    """
    known = bundled()
    path = known.get(str(model), Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("protein model", str(model), known)
    tensors, card = load_model(path)
    task = card.get("task", {})
    if task.get("domain") not in classes:
        raise CheckpointError(f"{path} is a model of '{task.get('domain')}'; expected one of {', '.join(classes)}")
    loaded = resolve(classes[task["domain"]]).of_card(path.stem, card)
    load_into(loaded.network, tensors, card)
    place(loaded.network, device)
    loaded.network.eval()
    return loaded


@dataclass(frozen=True)
class BackboneModel(ABC):
    """A network with the plans that it draws from; what all formulations share.

    Parameters
    ----------
    name
        Name of the model file.
    network
        Predicts the tangents of all factors.
    plans
        Source of plans.
    card
        The model's card: data, training, metrics.
    """

    name: str
    network: nn.Module
    plans: PlanSource
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    @abstractmethod
    def of_card(cls, name: str, card: Mapping[str, Any]) -> Self:
        """Model of a card, its weights still random."""

    @property
    @abstractmethod
    def rule(self) -> str:
        """How samples move, in words."""

    @abstractmethod
    def denoiser(self) -> Denoiser:
        """The network as a denoiser of all factors; its condition is one of `condition`."""

    @abstractmethod
    def drawer(self, **settings: Any) -> Drawer:
        """What draws batches of chains; settings as of `Drawer`."""

    def sample(
        self,
        count: int,
        length: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        steps: int = 20,
        seed: int = 0,
        first: int = 0,
        motif: Motif | None = None,
        secondary: str | Plan | Sequence[str | Plan] | None = None,
        relax: bool = True,
        freeze: Tensor | None = None,
        start: Chains | None = None,
        level: float = 0.5,
        temperature: float = 1.0,
        batch_size: int = 32,
        fit: Fit | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> BackboneSamples:
        """Draw chains of exact local geometry.

        Parameters
        ----------
        count, length, lengths
            Number of chains; residues of all, or of each: 64, or as many as motif, plan or start have.
        steps, seed, first
            Network calls for each chain, seed of the run, index of the first sample.
        motif
            Residues that are given.
        secondary
            A plan, or a word of ``-HE?``, for all or for each; drawn for each by default; ``""`` asks for nothing.
        relax, fit
            Whether to close bonds and remove clashes, else chains are the raw ones; settings of that.
        start, level, freeze
            A chain to vary, the noise level in (0, 1] it is brought to, and True for its residues that stay.
        temperature
            Temperature of the CA noise; 1 is that of training.
        batch_size, progress
            Chains in one network call; called with the number of chains finished since the last call.

        Raises
        ------
        ConfigError
            If a number is out of range, or two arguments ask for different lengths.
        """
        _whole_numbers(count=count, steps=steps, batch_size=batch_size)
        _check_ranges(level, temperature)
        if start is not None and freeze is not None:
            motif = Motif.of_chain(start, freeze)
        sizes, plans = self._asked(count, length, lengths, secondary, motif, start, (seed, first))
        noise, begun, items = Noise.range(seed, count, first), time.perf_counter(), {}
        told = {"motif": motif, "start": start, "level": level, "temperature": temperature, "relax": relax}
        draw = self.drawer(steps=steps, fit=fit or Fit(), **told)
        for rows in _batches(sizes, batch_size):
            drawn = draw(noise.take(rows), [plans[k] for k in rows], sizes[rows[0]])
            items.update(zip(rows.tolist(), drawn, strict=True))
            if progress is not None:
                progress(len(rows))
        facts = self._facts(steps, temperature, time.perf_counter() - begun)
        return build_samples([items[k] for k in range(count)], noise, steps, facts)

    def _asked(
        self,
        count: int,
        length: int | None,
        lengths: Sequence[int] | None,
        secondary: str | Plan | Sequence[str | Plan] | None,
        motif: Motif | None,
        start: Chains | None,
        names: tuple[int, int],
    ) -> tuple[list[int], list[Plan | None]]:
        """Length and plan of each sample; `names` are the seed and the index of the first one."""
        given = _read(secondary, count)
        others = {
            "motif": None if motif is None else len(motif),
            "start": None if start is None else start.xyz.shape[1],
        }
        planned = {len(plan) for plan in given or () if plan is not None}
        if len(planned) == 1:
            others["secondary"] = planned.pop()
        sizes = _sizes(count, length, lengths, others)
        if given is None and start is None:
            given = [self.plans.draw(size, names[0], names[1] + k) for k, size in enumerate(sizes)]
        return sizes, given or [None] * count

    def _facts(self, steps: int, temperature: float, seconds: float) -> dict[str, Any]:
        """Provenance of samples."""
        return {
            "model": self.name,
            "model_sha256": str(self.card.get("sha256", "")),
            "steps": steps,
            "rule": self.rule,
            "label": "biased",
            "temperature": temperature,
            "seconds": round(seconds, 3),
        }


@dataclass(frozen=True)
class TorsionModel(BackboneModel):
    """The formulation of `process`: torsions and CA; parameters as of `BackboneModel`."""

    @classmethod
    def of_card(cls, name: str, card: Mapping[str, Any]) -> Self:
        """Model of a card, its weights still random."""
        task = card["task"]
        return cls(name, TorsionNetwork(NetworkConfig.from_json(task["network"])), PlanSource.read(task["plans"]), card)

    @property
    def rule(self) -> str:
        """How samples move, in words."""
        return "exponential Adams of order 2 on the torus and on R^3"

    def denoiser(self) -> Denoiser:
        """The network as a denoiser of both factors; its condition is one of `condition`."""
        weight = next(self.network.parameters())

        def function(x: dict[str, Tensor], t: dict[str, Tensor], condition: Condition) -> dict[str, Tensor]:
            seen = {name: part.to(weight) for name, part in x.items()}
            time = {"torsion": t["torsion"].squeeze(-1).to(weight), "ca": t["ca"][:, 0, 0].to(weight)}
            told = {name: part.to(weight.device) for name, part in condition.items()}
            return {name: part.to(x[name]) for name, part in self.network(seen, time, told).items()}

        return Denoiser(function, {"torsion": Kind.TANGENT, "ca": Kind.TANGENT})

    def drawer(self, **settings: Any) -> Drawer:
        """What draws batches of chains."""
        return Drawer(self, **settings)


def of_torsions(model: BackboneModel, purpose: str) -> TorsionModel:
    """Return a model of torsions as it is.

    Raises
    ------
    ConfigError
        If it is one of another formulation.
    """
    if not isinstance(model, TorsionModel):
        raise ConfigError(f"{model.name} is a {type(model).__name__}; {purpose} want a model of torsions, as 'chains'")
    return model


def _batches(sizes: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Rows of one length, at most `batch_size` at a time."""
    for size in np.unique(sizes):
        same = np.flatnonzero(np.asarray(sizes) == size)
        for begin in range(0, len(same), batch_size):
            yield same[begin : begin + batch_size]


def _sizes(
    count: int,
    length: int | None,
    lengths: Sequence[int] | None,
    others: Mapping[str, int | None],
) -> list[int]:
    """Length of each sample; all who have one must agree."""
    asked = {name: size for name, size in {"length": length, **others}.items() if size is not None}
    if lengths is not None:
        if len(lengths) != count:
            raise ConfigError(f"{len(lengths)} lengths came for {count} chains; give one for each")
        sizes = [int(size) for size in lengths]
    else:
        sizes = [int(next(iter(asked.values()), 64))] * count
    wrong = {name: size for name, size in asked.items() if any(size != each for each in sizes)}
    if wrong:
        raise ConfigError(f"lengths are {sorted(set(sizes))}, but {wrong} came; give the same length everywhere")
    if not all(SHORTEST <= size <= LONGEST for size in sizes):
        raise ConfigError(
            f"lengths are {sorted(set(sizes))}; the model was trained on 30 to 100 residues and draws {SHORTEST} to "
            f"{LONGEST}"
        )
    return sizes


def _read(secondary: str | Plan | Sequence[str | Plan] | None, count: int) -> list[Plan | None] | None:
    """Plan of each sample, None where nothing is asked for; None where nothing was said."""
    if secondary is None:
        return None
    listed = [secondary] * count if isinstance(secondary, str | Plan) else list(secondary)
    if len(listed) != count:
        raise ConfigError(f"{len(listed)} plans came for {count} chains; give one for each, or one for all")
    return [one if isinstance(one, Plan) else read_plan(one) if one else None for one in listed]


def _check_ranges(level: float, temperature: float) -> None:
    if not 0 < level <= 1 or not temperature > 0:
        raise ConfigError(f"level is {level}, temperature {temperature}; expected level in (0, 1], temperature > 0")


def _whole_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1")
