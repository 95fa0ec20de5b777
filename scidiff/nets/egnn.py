"""EGNN: messages of distances, steps along differences [1]_; E(n)-equivariant in any number of dimensions.

One layer, for nodes `i` with features ``h_i``, positions ``x_i`` and edges ``j -> i`` of weight ``w_ij`` (1, or the
envelope of a cutoff); ``d_ij = |x_i - x_j|`` and ``d0_ij`` is the distance at the input:

    m_ij = phi_e(h_i, h_j, log(1 + d_ij^2), log(1 + d0_ij^2))     eq. 3
    x_i += c_i sum_j w_ij u_ij phi_x(m_ij)                        eq. 4,  u_ij = (x_i - x_j) / sqrt(1 + d_ij^2)
    m_i  = sqrt(c_i) sum_j w_ij sigmoid(phi_inf(m_ij)) m_ij       eq. 8
    h_i += phi_h(h_i, m_i)                                        eq. 6

with ``c_i = 1 / (1 + sum_j w_ij)``. Three things differ from [1]_. Differences are divided by a length, as in [2]_, but
smoothly at coincident points. Squared distances enter by their logarithm: with themselves, a step grows faster than the
positions, and a noisy cloud can run away to infinity within one sampling run. Sums are scaled by the number of
neighbours in place of a constant. The vectors of the prediction are the displacement ``x^L - x^0``, summed by itself so
that nothing cancels.

References
----------
.. [1] V. G. Satorras, E. Hoogeboom, M. Welling, "E(n) Equivariant Graph Neural Networks", arXiv:2102.09844
.. [2] E. Hoogeboom et al., "Equivariant Diffusion for Molecule Generation in 3D", arXiv:2203.17003
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scidiff.errors import ConfigError
from scidiff.nets.equivariant import EquivariantNetwork, Prediction
from scidiff.nets.graph_transformer import fourier
from scidiff.nets.neighbours import Edges, envelope
from scidiff.nets.scatter import scatter_sum

__all__ = ["EGNN", "EGNNConfig"]

_FIRST_STEP = 0.01


@dataclass(frozen=True)
class EGNNConfig:
    """Size of a network.

    Parameters
    ----------
    features
        Width of the node features that come.
    scalars
        Number of scalars per node that go out.
    layers
        Number of layers.
    width
        Features of a node and of a message.
    time
        Width of the Fourier features of the time, even.
    cutoff
        Distance within which nodes see each other, in the unit of the positions; ``None`` for all.
    """

    features: int
    scalars: int = 1
    layers: int = 4
    width: int = 64
    time: int = 16
    cutoff: float | None = None

    def __post_init__(self) -> None:
        small = self.features < 0 or min(self.scalars, self.layers, self.width) < 1
        if small or self.time < 2 or self.time % 2 or (self.cutoff is not None and not self.cutoff > 0):
            raise ConfigError(f"{self} is no size of a network; expected positive sizes, an even time and a cutoff > 0")


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ends = nn.Linear(width, 2 * width)
        self.distances = nn.Linear(2, width, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.gate = nn.Linear(width, 1)
        self.step = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False))
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        nn.init.xavier_uniform_(self.step[-1].weight, gain=_FIRST_STEP)

    def forward(
        self, x: Tensor, h: Tensor, edges: Edges, square0: Tensor, cutoff: float | None
    ) -> tuple[Tensor, Tensor]:
        """Displacement of the positions and new features."""
        difference = x[edges.target] - x[edges.source]
        square = difference.square().sum(1, keepdim=True)
        weight = envelope(square0, cutoff)
        receiver, sender = self.ends(h).chunk(2, dim=1)
        distances = self.distances(torch.cat([square, square0], dim=1).log1p())
        m = self.message(receiver[edges.target] + sender[edges.source] + distances)
        scale = 1 / (1 + scatter_sum(weight, edges.target, len(x)))
        step = weight * self.step(m) * difference / (1 + square).sqrt()
        gated = scatter_sum(weight * self.gate(m).sigmoid() * m, edges.target, len(x))
        h = h + self.update(torch.cat([h, scale.sqrt() * gated], dim=1))
        return scale * scatter_sum(step, edges.target, len(x)), h


class EGNN(EquivariantNetwork):
    """Stack of layers; see the module's head for the formulas.

    Parameters
    ----------
    config
        Size of the network.
    """

    reflections = True

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        self.config = config
        self.features, self.cutoff = config.features, config.cutoff
        self.embed = nn.Linear(config.features + config.time, config.width)
        self.layers = nn.ModuleList(_Layer(config.width) for _ in range(config.layers))
        self.readout = nn.Linear(config.width, config.scalars)

    def flat(self, x: Tensor, h: Tensor, t: Tensor, edges: Edges) -> Prediction:
        """Evaluate on flat nodes; see `EquivariantNetwork.flat`."""
        h = self.embed(torch.cat([h, fourier(t, self.config.time).to(h)], dim=1))
        square0 = (x[edges.target] - x[edges.source]).square().sum(1, keepdim=True)
        moved = torch.zeros_like(x)
        for layer in self.layers:
            step, h = layer(x + moved, h, edges, square0, self.cutoff)
            moved = moved + step
        return Prediction(moved, self.readout(F.silu(h)))
