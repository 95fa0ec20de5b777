"""A trained molecular model: load it, sample from it.

Sampling goes: number of atoms from the size prior, all sites from the prior of the process, then the one loop with a
grid, a rule for finite sets, and the valence projection as its transform. Samples are identified by (seed, index);
their sizes and noise do not depend on the batch they are drawn in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import CheckpointError, ConfigError, UnknownNameError
from scidiff.io.checkpoint import load_into, load_model, place
from scidiff.process.base import Kind, ProductProcess
from scidiff.random import Noise
from scidiff.sample.discrete.ctmc import Ancestral, SiteRule
from scidiff.sample.discrete.sharpen import Temperature
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State

from .bundles import bundled_models
from .network import GraphDenoiserConfig, GraphDenoiserNetwork
from .noising import graph_process
from .projection import ValenceProjection
from .samples import MoleculeSamples, build_samples
from .scaffold import Scaffold
from .start import Start
from .steering import Steering, steered_denoiser
from .vocabulary import Vocabulary

__all__ = ["MoleculeModel", "bundled", "load"]

_BUCKET = 4


def bundled() -> dict[str, Path]:
    """Bundled models of graphs by name."""
    return bundled_models("molecules")


def load(model: str | Path, *, device: str = "cpu") -> MoleculeModel:
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
        If the file is damaged or of another domain.

    Examples
    --------
    >>> from scidiff.domains import molecules
    >>> samples = molecules.load("universe").sample(8, steps=4, seed=0)
    >>> molecules.validate(samples).valid
    1.0
    """
    known = bundled()
    path = known.get(str(model), Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("model", str(model), known)
    tensors, card = load_model(path)
    task = card.get("task", {})
    if task.get("domain") != "molecules":
        raise CheckpointError(f"{path} is a model of domain '{task.get('domain')}'; expected one of molecules")
    network = GraphDenoiserNetwork(GraphDenoiserConfig.from_json(task["network"]))
    load_into(network, tensors, card)
    place(network, device)
    vocabulary = Vocabulary.from_json(task["vocabulary"])
    return MoleculeModel(path.stem, network.eval(), vocabulary, np.array(task["size_prior"]), card)


@dataclass
class Clock:
    """Seconds spent in the network and in the projection, beside the whole."""

    network: float = 0.0
    projection: float = 0.0
    total: float = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is booked under `part`."""

        def call(*args: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                setattr(self, part, getattr(self, part) + time.perf_counter() - begun)

        return call


@dataclass(frozen=True)
class MoleculeModel:
    """A network with its vocabulary and size prior.

    Parameters
    ----------
    name
        Name of the model file.
    network
        Predicts logits of clean atoms and bonds.
    vocabulary
        Atom tokens.
    size_prior
        Probability of each number of heavy atoms, from 0 on.
    card
        The model's card: data, training, metrics.
    """

    name: str
    network: GraphDenoiserNetwork
    vocabulary: Vocabulary
    size_prior: np.ndarray
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def process(self) -> ProductProcess:
        """Noising law of the graphs."""
        return graph_process(self.vocabulary)

    @property
    def largest(self) -> int:
        """Largest number of heavy atoms."""
        return len(self.size_prior) - 1

    def denoiser(self, clock: Clock | None = None) -> Denoiser:
        """The network as a denoiser; its condition is ``{"mask": ...}``, and its device that of the weights."""
        device = next(self.network.parameters()).device

        def function(x: State, t: State, condition: Mapping[str, Tensor]) -> State:
            send = lambda part: {key: value.to(device) for key, value in part.items()}  # noqa: E731
            logits = self.network(send(x), send(t), condition["mask"].to(device))
            return {key: value.cpu() for key, value in logits.items()}

        return Denoiser(function if clock is None else clock.timed("network", function), Kind.LOGITS)

    def sample(
        self,
        count: int,
        *,
        steps: int = 20,
        seed: int = 0,
        scaffold: str | Scaffold | None = None,
        batch_size: int = 1024,
        first: int = 0,
        rule: SiteRule | None = None,
        temperature: float = 1.0,
        bonds_until: float = 0.0,
        transforms: Sequence[Transform] = (),
        steer: Steering | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> MoleculeSamples:
        """Draw molecules; every one is connected, sanitizable and closed-shell, and contains the scaffold.

        Parameters
        ----------
        count
            Number of molecules.
        steps, seed
            Network calls for each, and the seed of the run.
        scaffold
            A part of every molecule: a SMILES or definite SMARTS, with ``*`` at attachment points, see `Scaffold`.
            Sizes are then those of the data at which it can be completed.
        batch_size
            Molecules in one network call; changes memory and speed, not the noise.
        first
            Index of the first sample: a long campaign may be drawn in parts.
        rule
            How sites move; the ancestral rule by default.
        temperature
            Temperature of the atom tokens; below 1 molecules are more typical and less diverse.
        bonds_until
            Largest time at which whole molecules are drawn, see `ValenceProjection`; the last step always does.
        transforms
            Changes of the prediction, e.g. guidance, between temperature and projection.
        steer
            Draw from the law tilted towards an objective. Molecules with consecutive indices are a group of particles,
            of which `count` and `first` are multiples; some are alike, and the record `log_z` is that of their group.
        progress
            Called with the number of molecules finished since the last call.

        Raises
        ------
        ConfigError, DataError
            If a number is out of range; if the scaffold cannot be read, is not known to the model, or leaves no room.
        """
        _whole_numbers(1, count=count, steps=steps, batch_size=batch_size)
        _whole_numbers(0, first=first)
        given = Scaffold.parse(scaffold, self.vocabulary) if isinstance(scaffold, str) else scaffold
        prior = self.size_prior if given is None else given.sizes(self.size_prior, self.vocabulary)
        noise = Noise.range(seed, count, first)
        sizes = draw_sizes(noise, prior)
        rule, guides = rule or Ancestral(), tuple(transforms)
        job = _Job(self, given, uniform_grid(steps), rule, temperature, bonds_until, guides, steer, Clock())
        done = job.batches(noise, sizes, batch_size, progress)
        return build_samples(done, noise, sizes, self.vocabulary, job.facts())


@dataclass(frozen=True)
class _Timed(Transform):
    """The projection, with its time booked."""

    projection: ValenceProjection
    clock: Clock

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        return self.clock.timed("projection", self.projection)(m, state, evaluation)


@dataclass(frozen=True)
class _Job:
    """What all batches of one call share."""

    model: MoleculeModel
    scaffold: Scaffold | None
    grid: Tensor
    rule: SiteRule
    temperature: float
    bonds_until: float
    transforms: tuple[Transform, ...]
    steer: Steering | None
    clock: Clock

    def batches(
        self, noise: Noise, sizes: np.ndarray, batch_size: int, progress: Callable[[int], None] | None
    ) -> list[tuple[np.ndarray, RunState]]:
        """Draw all samples, batch by batch: rows and final states."""
        group = 1 if self.steer is None else self.steer.group_size(noise)
        begun, done = time.perf_counter(), []
        for rows, size in _batches(sizes, batch_size, self.model.largest, group):
            done.append((rows, self.run(noise.take(rows), sizes[rows], size)))
            if progress is not None:
                progress(len(rows))
        self.clock.total = time.perf_counter() - begun
        return done

    def run(self, noise: Noise, sizes: np.ndarray, size: int) -> RunState:
        """Draw one batch, padded to `size` atoms."""
        start = Start.of(self.scaffold, sizes, size)
        process, plan = self.model.process, Grid(self.grid)
        shape = {key: tuple(part.shape[1:]) for key, part in start.clean.items()}
        state = RunState.start(process, noise, shape, free=start.free, clean=start.clean)
        state = state.record("size", torch.from_numpy(sizes)).record("valence", start.valence)
        sharpen = () if self.temperature == 1.0 else (Temperature({"atoms": self.temperature}),)
        projection = ValenceProjection(self.model.vocabulary, max(self.bonds_until, float(self.grid[-2])))
        transforms = (*sharpen, *self.transforms, _Timed(projection, self.clock))
        denoiser, condition, particles = self.model.denoiser(self.clock), {"mask": start.mask}, None
        if self.steer is not None:
            given = 0 if self.scaffold is None else len(self.scaffold.tokens)
            denoiser = steered_denoiser(denoiser, given)
            tilt, particles = self.steer.transforms(self.model.vocabulary, projection.bonds_until, given)
            transforms = (*transforms, tilt, particles)
        end = run(
            denoiser, process, self.rule, plan, state=plan.start(state), condition=condition, transforms=transforms
        )
        return end if particles is None else particles.spread(end)

    def facts(self) -> dict[str, Any]:
        """Provenance of the samples."""
        query = None if self.scaffold is None else Chem.MolToSmiles(self.scaffold.query)
        steer = self.steer
        steering = None if steer is None else {"strength": steer.strength, "particles": steer.particles}
        return {
            "model": self.model.name,
            "model_sha256": self.model.card.get("sha256"),
            "steps": len(self.grid) - 1,
            "rule": type(self.rule).__name__,
            "temperature": self.temperature,
            "label": ValenceProjection.label,
            "citation": self.rule.citation,
            "scaffold": query,
            **({} if steering is None else {"steering": steering}),
            "seconds": {name: round(value, 3) for name, value in vars(self.clock).items()},
        }


def _whole_numbers(least: int, **numbers: int) -> None:
    for name, value in numbers.items():
        if not isinstance(value, int | np.integer) or value < least:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least {least}")


def draw_sizes(noise: Noise, prior: np.ndarray) -> np.ndarray:
    """Draw the number of atoms of every sample from the probabilities of 0, 1, ... atoms."""
    cdf = prior.cumsum() / prior.sum()
    return np.searchsorted(cdf, noise.uniform(step=0, stream="size").numpy(), side="right")


def _batches(sizes: np.ndarray, batch_size: int, largest: int, group: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows and padded size of batches of similar size; the padded size of a sample depends on its own group only."""
    padded = np.minimum(-(-sizes // _BUCKET) * _BUCKET, largest).reshape(-1, group).max(1).repeat(group)
    each = max(1, batch_size // group) * group
    for size in np.unique(padded):
        rows = np.flatnonzero(padded == size)
        for first in range(0, len(rows), each):
            yield rows[first : first + each], int(size)
