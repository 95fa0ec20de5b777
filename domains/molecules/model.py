"""A trained molecular model: load it, sample from it.

Sampling goes: number of atoms from the size prior, all sites from the prior of the process, then the one loop with a
grid, a rule for finite sets, and the valence projection as its transform. Samples are identified by (seed, index); their
sizes and noise do not depend on the batch they are drawn in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.domains.molecules.graphs import pair_count, pair_index
from scidiff.domains.molecules.network import GraphDenoiserConfig, GraphDenoiserNetwork
from scidiff.domains.molecules.noising import graph_process
from scidiff.domains.molecules.projection import ValenceProjection
from scidiff.domains.molecules.samples import MoleculeSamples, build_samples
from scidiff.domains.molecules.vocabulary import Vocabulary
from scidiff.errors import CheckpointError, ConfigError, UnknownNameError
from scidiff.io.checkpoint import load_into, load_model
from scidiff.process.base import Kind, ProductProcess
from scidiff.random import Noise
from scidiff.sample.ctmc import Ancestral, SiteRule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.state import RunState
from scidiff.spaces import State

__all__ = ["MoleculeModel", "bundled", "load"]

_WEIGHTS = Path(__file__).parent / "weights"
_BUCKET = 4


def bundled() -> dict[str, Path]:
    """Bundled models by name."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.safetensors"))}


def load(model: str | Path) -> MoleculeModel:
    """Load a bundled model by name, or a model file by path.

    Raises
    ------
    UnknownNameError
        If there is neither.
    CheckpointError, IntegrityError
        If the file is damaged or of another domain.
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

    def draw_sizes(self, noise: Noise) -> np.ndarray:
        """Draw the number of atoms of every sample from the size prior."""
        cdf = self.size_prior.cumsum() / self.size_prior.sum()
        return np.searchsorted(cdf, noise.uniform(step=0, stream="size").numpy(), side="right")

    def sample(
        self,
        count: int,
        *,
        steps: int = 20,
        seed: int = 0,
        batch_size: int = 256,
        first: int = 0,
        rule: SiteRule | None = None,
        project_until: float = 1.0,
        progress: Callable[[int], None] | None = None,
    ) -> MoleculeSamples:
        """Draw molecules; every one is connected, sanitizable and closed-shell.

        Parameters
        ----------
        count
            Number of molecules.
        steps
            Network calls for each; at least 1.
        seed
            Seed of the run.
        batch_size
            Molecules in one network call; changes memory and speed, not the noise.
        first
            Index of the first sample: a long campaign may be drawn in parts.
        rule
            How sites move; the ancestral rule by default.
        project_until
            Times up to which the clean molecule is drawn within valence; at the last step it always is.
        progress
            Called with the number of molecules finished since the last call.

        Raises
        ------
        ConfigError
            If `count`, `steps` or `batch_size` is below 1.
        """
        for name, value in (("count", count), ("steps", steps), ("batch_size", batch_size)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; expected at least 1")
        noise = Noise.range(seed, count, first)
        start = lambda rows, size: _blank(noise.take(rows), sizes[rows], size)  # noqa: E731
        sizes = self.draw_sizes(noise)
        return self._run(noise, sizes, start, steps, batch_size, rule or Ancestral(), project_until, progress)

    def _run(
        self,
        noise: Noise,
        sizes: np.ndarray,
        start: Callable[[np.ndarray, int], Start],
        steps: int,
        batch_size: int,
        rule: SiteRule,
        project_until: float,
        progress: Callable[[int], None] | None,
    ) -> MoleculeSamples:
        clock = Clock()
        begun = time.perf_counter()
        grid = uniform_grid(steps)
        projection = ValenceProjection(self.vocabulary, max(project_until, float(grid[-2])))
        transform = clock.timed("projection", projection)
        denoiser, process = self.denoiser(clock), self.process
        done: list[tuple[np.ndarray, RunState]] = []
        for rows, size in _batches(sizes, batch_size, self.largest):
            site = start(rows, size)
            state = RunState.start(process, noise.take(rows), site.shape, free=site.free, clean=site.clean)
            state = state.record("size", torch.from_numpy(sizes[rows]))
            plan = Grid(grid)
            state = run(
                denoiser,
                process,
                rule,
                plan,
                state=plan.start(state),
                condition={"mask": site.mask},
                transforms=(transform,),
            )
            done.append((rows, state))
            if progress is not None:
                progress(len(rows))
        clock.total = time.perf_counter() - begun
        facts = {"model": self.name, "rule": type(rule).__name__, "steps": steps, "label": projection.label}
        facts |= {"citation": rule.citation, "seconds": vars(clock).copy(), "sha256": self.card.get("sha256")}
        return build_samples(done, noise, sizes, self.vocabulary, facts)


@dataclass(frozen=True)
class Start:
    """Free sites, clean values of the others, and the mask of real atoms, of one batch."""

    free: dict[str, Tensor]
    clean: dict[str, Tensor]
    mask: Tensor

    @property
    def shape(self) -> dict[str, tuple[int, ...]]:
        """Event shapes."""
        return {key: tuple(part.shape[1:]) for key, part in self.clean.items()}


def _blank(noise: Noise, sizes: np.ndarray, size: int) -> Start:
    """Start of unconditional samples: all real sites are free."""
    mask = torch.arange(size) < torch.from_numpy(sizes).unsqueeze(1)
    i, j = pair_index(size)
    clean = {"atoms": torch.zeros(len(sizes), size, dtype=torch.int64)}
    clean["bonds"] = torch.zeros(len(sizes), pair_count(size), dtype=torch.int64)
    return Start({"atoms": mask, "bonds": mask[:, i] & mask[:, j]}, clean, mask)


def _batches(sizes: np.ndarray, batch_size: int, largest: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows and padded size of batches of similar size; the padded size of a sample depends on its own size only."""
    padded = np.minimum(-(-sizes // _BUCKET) * _BUCKET, largest)
    for size in np.unique(padded):
        rows = np.flatnonzero(padded == size)
        for first in range(0, len(rows), batch_size):
            yield rows[first : first + batch_size], int(size)
