"""A prior that a network learned from slices: load it, denoise with it on any grid.

The network says ``E[x_0 | x_t]`` for images of any size, in float32 around a float64 state. Large images may be cut
into tiles (`scidiff.denoise.tiles`), whose margins carry no weight. With margins as wide as the reach of the network a
pixel inside sees all it would see in the whole image; what is left is that the network is not the same at all places
modulo its `factor`, and that images are mirrored at the border where the network itself continues them by zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.tiles import Tiles, reflecting, tiled
from scidiff.errors import CheckpointError, ConfigError, UnknownNameError
from scidiff.io.checkpoint import load_into, load_model, place
from scidiff.process.base import Kind, sample_time

from ..grid import Grid
from ..units import MU_WATER
from .network import NetworkConfig, PriorNetwork
from .prior import Prior, check_images
from .task import SIGMA_MIN

__all__ = ["LearnedPrior", "bundled", "load", "load_prior"]

_WEIGHTS = Path(__file__).parent.parent / "weights"
_DOMAIN = "ct/prior"


@dataclass(frozen=True, eq=False)
class LearnedPrior(Prior):
    """A network as a prior.

    Parameters
    ----------
    name
        Name of the model.
    network
        Denoiser of images.
    unit
        Attenuation of ``x = 1``, 1/mm.
    lower, upper
        Range of ``x`` in training.
    card
        The model's card.
    """

    name: str
    network: PriorNetwork
    unit: float = MU_WATER
    lower: float = 0.0
    upper: float = 2.5
    card: Mapping[str, Any] = field(default_factory=dict)

    def denoiser(
        self, grid: Grid, *, tile: int | None = None, margin: int | None = None, together: int = 8
    ) -> Denoiser:
        """The network on a grid.

        Noise below the least level of training is removed as if it had that level, in proportion:
        ``x + (sigma / sigma_min)^2 (D(x, sigma_min) - x)``, which is the first order of the exact mean in ``sigma^2``.

        Parameters
        ----------
        grid
            Two-dimensional grid; its pixels may be oblong, and then count by their geometric mean.
        tile
            Edge of the tiles that a large image is cut into, a multiple of ``network.config.factor``; whole by default.
        margin
            Pixels at each end of a tile that carry no weight, a multiple of the factor; the reach of the network by
            default. The influence of far pixels is small, so that a third of it does nearly as well.
        together
            Tiles in one batch of the network.

        Raises
        ------
        ConfigError
            If tiles are too small for the reach of the network.
        """
        pixel = (grid.lengths[0] * grid.lengths[1]) ** 0.5 if grid.dimension == 2 else grid.lengths[-1]

        def function(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
            check_images(x, grid)
            return whole(x[:, None], sample_time(t, x))[:, 0]

        def whole(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
            sigma = self.sigma(sample_time(t, x))
            held = sigma.clamp_min(SIGMA_MIN)
            device = next(self.network.parameters()).device
            out = self.network(x.to(device), held.to(device), torch.full((len(x),), pixel, device=device)).to(x)
            share = (sigma / held).to(x)[:, None, None, None] ** 2
            return torch.where(share < 1, x + share * (out - x), out)

        if tile is None or max(grid.shape) <= tile:
            return Denoiser(function, Kind.MEAN)
        cut = tiled(Denoiser(whole, Kind.MEAN), self._tiles(grid, tile, margin), together=together)

        def cut_function(x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
            check_images(x, grid)
            return cut(x[:, None], sample_time(t, x))[:, 0]

        return Denoiser(cut_function, Kind.MEAN)

    def _tiles(self, grid: Grid, tile: int, margin: int | None) -> Tiles:
        factor, reach = self.network.config.factor, self.network.config.reach
        margin = -(-reach // factor) * factor if margin is None else margin
        overlap = 2 * margin + factor
        if tile % factor or margin % factor or margin < 0 or overlap > tile // 2:
            raise ConfigError(
                f"tile {tile}, margin {margin}; expected multiples of {factor}, and a tile of at least "
                f"{2 * overlap} for this margin"
            )
        size = tuple(min(tile, n // factor * factor) for n in grid.shape)
        if min(size) < 2 * overlap:
            raise ConfigError(f"the image has {grid.shape} pixels, tiles overlap by {overlap}; do not cut it")
        return Tiles(size, (overlap, overlap), margin, reflecting)

    def provenance(self) -> dict[str, Any]:
        """Name, hash of the weights, and what they were trained on."""
        data = self.card.get("task", {}).get("data", {})
        return {
            "prior": self.name,
            "law": "learned",
            "sha256": self.card.get("sha256"),
            "parameters": self.card.get("parameters"),
            "data": list(data.get("volumes", {})),
            "held_out": data.get("held_out"),
            "unit_per_mm": self.unit,
        }


def bundled() -> dict[str, Path]:
    """Priors that come with the package, by name."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.safetensors"))}


def load_prior(prior: str | Path, *, device: str = "cpu") -> LearnedPrior:
    """Load a bundled prior by name, or a model file by path.

    Parameters
    ----------
    prior
        Name, e.g. ``"ct"``, or a ``.safetensors`` file with its card beside it.
    device
        Where the network runs.

    Raises
    ------
    UnknownNameError
        If there is neither.
    CheckpointError, IntegrityError
        If the file is damaged or of something else.
    ConfigError
        If the device cannot be used.
    """
    known = bundled()
    path = known.get(str(prior), Path(prior))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("prior", str(prior), known)
    tensors, card = load_model(path)
    task = card.get("task", {})
    if task.get("domain") != _DOMAIN:
        raise CheckpointError(f"{path} is a model of domain '{task.get('domain')}'; expected {_DOMAIN}")
    network = PriorNetwork(NetworkConfig.from_json(task["network"]))
    load_into(network, {name: value.float() for name, value in tensors.items()}, card)
    place(network, device)
    network.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
    lower, upper = task["data"]["range"]
    return LearnedPrior(path.stem, network, task["data"]["unit"], lower, upper, card)


load = load_prior
"""The verb ``load`` of the domain, whose models are priors."""
