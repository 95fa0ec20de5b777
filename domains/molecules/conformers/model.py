"""A trained conformer model: load it, draw conformers of given molecules.

The prior is normal noise of zero mean, the rule a table solver of the core loop, DPM-Solver++(2M) with noise. The
first call leads to ``lam = 0``, where noise and signal are equal; before, a cloud has hardly a shape. The others go in
equal intervals of `lam` to ``LAM_MAX - 11 / steps``, and the last one returns the denoised mean. These two numbers were
settled on validation molecules, which no benchmark uses. A sample is named by (seed, index), whatever batch it is drawn
in.

The law of the model is that of all stereoisomers, and equal for mirror images; how a SMILES with stereo marks is met is
told in `stereo`. A sample that does not match them has the status ``invalid``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import CheckpointError, ConfigError, UnknownNameError
from scidiff.io.checkpoint import load_into, load_model, place
from scidiff.process.base import Kind
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, dpmpp_2m_sde, run
from scidiff.sample.continuous.table import Table
from scidiff.sample.samples import Samples, Status
from scidiff.spaces import Centred
from scidiff.train.batches import to_device

from ..bundles import bundled_models
from .graph import LARGEST, Graphs, read
from .network import Condition, ConformerConfig, ConformerNetwork
from .stereo import Draw
from .task import LAM_MAX, PROCESS, condition_of, noise_level

__all__ = ["ConformerModel", "ConformerSamples", "bundled", "load", "solver"]

_LAM_FIRST = 0.0
_LAM_GAP = 11.0


def bundled() -> dict[str, Path]:
    """Bundled models by name."""
    return bundled_models("molecules/conformers")


def solver(steps: int) -> Table:
    """Solver of the given number of network calls; see the module's head for its grid."""
    schedule = PROCESS.schedule
    inner = np.linspace(_LAM_FIRST, max(LAM_MAX - _LAM_GAP / steps, _LAM_FIRST), max(steps - 1, 0))
    ends = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    return dpmpp_2m_sde(schedule, torch.cat([ends[0], schedule.t(torch.from_numpy(inner)), ends[1]]))


def load(model: str | Path = "conformers", *, device: str = "cpu") -> ConformerModel:
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
    """
    known = bundled()
    path = known.get(str(model), Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("conformer model", str(model), known)
    tensors, card = load_model(path)
    task = card.get("task", {})
    if task.get("domain") != "molecules/conformers":
        raise CheckpointError(f"{path} is a model of '{task.get('domain')}'; expected one of molecules/conformers")
    network = ConformerNetwork(ConformerConfig.from_json(task["network"]))
    load_into(network, tensors, card)
    place(network, device)
    return ConformerModel(path.stem, network.eval(), float(task["scale"]), card)


@dataclass(frozen=True)
class ConformerSamples(Samples):
    """Samples whose items are RDKit molecules without hydrogens and with one conformer each, in Å."""

    def save(self, path: str | Path) -> Path:
        """Write the good samples to an ``.sdf`` file, and the provenance beside it.

        Raises
        ------
        ConfigError
            If the ending is another one, or the folder does not exist.
        DataError
            If the disk does not take the file.
        """
        from .writer import write

        return write(self, Path(path))

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from ..display import conformers_card

        return conformers_card(self)


@dataclass(frozen=True)
class ConformerModel:
    """A network with its unit of length.

    Parameters
    ----------
    name
        Name of the model file.
    network
        Predicts the velocity.
    scale
        Å in the unit that the network sees.
    card
        The model's card: data, training, metrics.
    """

    name: str
    network: ConformerNetwork
    scale: float
    card: Mapping[str, Any] = field(default_factory=dict)

    def denoiser(self) -> Denoiser:
        """The network as a denoiser of clouds; its condition is a `Condition`, and its device that of the weights."""
        weight = next(self.network.parameters())

        def function(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
            level = noise_level(t[:, 0, 0]).to(weight.device)
            return self.network(x.to(weight), level, to_device(condition, weight.device)).to(x)

        return Denoiser(function, Kind.V)

    def positions(
        self, graphs: Graphs, rows: np.ndarray, noise: Noise, *, steps: int = 10, batch_size: int = 1024
    ) -> np.ndarray:
        """Draw one cloud for each of the named rows of a set of graphs.

        Parameters
        ----------
        graphs
            Molecules.
        rows
            Molecule of each sample.
        noise
            One stream for each sample.
        steps
            Network calls for each sample.
        batch_size
            Clouds in one network call.

        Returns
        -------
        positions
            Å, float64, shape ``(samples, LARGEST, 3)``, centred, 0 at padding.
        """
        out = np.zeros((len(rows), LARGEST, 3))
        for size in np.unique(graphs.sizes[rows]):
            same = np.flatnonzero(graphs.sizes[rows] == size)
            for first in range(0, len(same), batch_size):
                part = same[first : first + batch_size]
                state = self._run(condition_of(graphs, rows[part]), noise.take(part), steps)
                out[part, :size] = state.x.numpy() * self.scale
        return out

    def _run(self, condition: Condition, noise: Noise, steps: int) -> RunState:
        process = replace(PROCESS, space=Centred((condition.mask.shape[1], 3)))
        rule = TableRule(solver(steps))
        shape = (condition.mask.shape[1], 3)
        return run(self.denoiser(), process, rule, rule.plan, noise=noise, shape=shape, condition=condition)

    def sample(
        self,
        smiles: str | Sequence[str],
        count: int = 1,
        *,
        steps: int = 20,
        seed: int = 0,
        batch_size: int = 1024,
    ) -> ConformerSamples:
        """Draw conformers of molecules.

        Parameters
        ----------
        smiles
            One molecule or several, of at most six C, N, O, F atoms; stereo marks are respected.
        count
            Conformers of each molecule.
        steps, seed
            Network calls for each attempt, and the seed of the run.
        batch_size
            Clouds in one network call; changes memory and speed, not the noise.

        Returns
        -------
        ConformerSamples
            `count` items for each molecule, in the order of the molecules.

        Raises
        ------
        DataError
            If a molecule cannot be read or is not one that the model knows.
        ConfigError
            If a number is out of range.
        """
        _whole_numbers(count=count, steps=steps, batch_size=batch_size)
        molecules = [read(one) for one in ([smiles] if isinstance(smiles, str) else smiles)]
        if not molecules:
            raise ConfigError("no SMILES came; expected at least one")
        begun = time.perf_counter()
        drawn = Draw(self, molecules, count, steps, batch_size)
        drawn.run(seed)
        return ConformerSamples(
            drawn.items,
            [Status.INVALID if item is None else Status.OK for item in drawn.items],
            np.arange(len(drawn.items)),
            seed,
            drawn.attempts * steps,
            {"attempts": drawn.attempts, "mirrored": drawn.mirrored},
            self._facts(steps, time.perf_counter() - begun),
        )

    def _facts(self, steps: int, seconds: float) -> dict[str, Any]:
        """Provenance of samples."""
        table = solver(steps)
        return {
            "model": self.name,
            "model_sha256": self.card.get("sha256"),
            "steps": steps,
            "rule": table.name,
            "label": table.label,
            "citation": table.citation,
            "seconds": round(seconds, 3),
        }


def _whole_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1")
