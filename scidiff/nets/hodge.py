"""Hodge attention: Laplacians of a mesh whose stars are learned, and whose coboundaries are not.

The Hodge Laplacian of ``k``-cochains is made of fixed integer coboundaries ``d`` and of stars. Here every star ``S_k``
and, apart from it, every inverse star ``W_k`` is an attention matrix between cells that lie near each other [1]_,

    L_0 = W_0 d0^T S_1 d0
    L_1 = d0 W_0 d0^T S_1 + W_1 d1^T S_2 d1
    L_2 = d1 W_1 d1^T S_2

one set per head. From features ``h`` of the cells, with queries ``q``, keys ``p`` and a positive gain ``g = exp(G h)``,

    symmetric        S_ij = g_i (delta_ij + c_ij A_ij) g_j / 2      A_ij = exp(s_ij) / sqrt(r_i r_j)    s_ij = q_i . q_j
    not symmetric    S_ij = g_i^2 (delta_ij + c_ij A_ij) / 2        A_ij = exp(s_ij) / r_i              s_ij = q_i . p_j

with ``r_i = sum_j exp(s_ij)`` over the neighbours ``j`` of ``i``, itself among them. Features do not know the direction
of an edge, cochains do: ``c_ij`` is the cosine between two edges, which changes its sign with either of them, and 1 for
vertices and triangles. So the result does not depend on the numbering of vertices, edges or triangles.

**What holds for all weights.** ``d0 1 = 0`` in floating point, so that ``L_0 1 = 0`` exactly. A symmetric star is
positive definite: ``A`` is similar to a stochastic matrix, so that ``|c A| <= A`` has no eigenvalue beyond 1 in size,
and the positive diagonal excludes -1. It follows that ``L_k`` has a real spectrum that is not negative, that ``L_0`` is
self-adjoint in the product ``u^T W_0^-1 v``, and that the kernel of ``L_k`` has the dimension of the true one, the
Betti number ``b_k``: the images of ``d0`` and of ``W_1 d1^T`` meet in 0 alone, and ``d1 d0 = 0`` makes their sum block
triangular. No eigenvectors are needed anywhere.

`HodgeTransformer` mixes features as in [1]_; `HodgeOperator` is a linear map whose stars see the geometry alone. The
cosine, the gain, the symmetric normalisation and the linear map are additions to [1]_.

References
----------
.. [1] A. Nousias, S. Nousias, "HodgeFormer: Transformers for Learnable Operators on Triangular Meshes through
   Data-Driven Hodge Matrices", arXiv:2509.01839
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.surface import HodgeMesh

__all__ = ["HodgeAttention", "HodgeConfig", "HodgeOperator", "HodgeStar", "HodgeTransformer"]


@dataclass(frozen=True)
class HodgeConfig:
    """Size of a network.

    Parameters
    ----------
    layers
        Number of layers.
    width
        Features of a cell.
    heads
        Number of learned Laplacians per layer; divides `width`.
    expansion
        Hidden width of the feed-forward parts, in units of `width`.
    symmetric
        Whether the stars are symmetric and positive definite.
    """

    layers: int = 3
    width: int = 32
    heads: int = 4
    expansion: int = 2
    symmetric: bool = True

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads, self.expansion) < 1 or self.width % self.heads:
            raise ConfigError(
                f"layers = {self.layers}, width = {self.width}, heads = {self.heads}, expansion = {self.expansion}; "
                "expected positive numbers, and a width that is a multiple of heads"
            )


class HodgeStar(nn.Module):
    """A learned star, or inverse star, of the cells of one degree.

    Parameters
    ----------
    degree
        0, 1 or 2.
    width
        Features of a cell.
    heads
        Number of matrices.
    symmetric
        Whether they are symmetric and positive definite.
    """

    def __init__(self, degree: int, width: int, heads: int, *, symmetric: bool = True) -> None:
        super().__init__()
        self.degree, self.heads = degree, heads
        inner = heads * max(width // heads, 1)
        self.query = nn.Linear(width, inner)
        self.key = None if symmetric else nn.Linear(width, inner)
        self.gain = nn.Linear(width, heads)

    def forward(self, h: Tensor, mesh: HodgeMesh) -> Tensor:
        """Entries of the rows.

        Parameters
        ----------
        h
            Features of the cells, shape ``(batch, cells, width)``.
        mesh
            Who is near whom.

        Returns
        -------
        Tensor
            Entries at ``mesh.near[degree]``, shape ``(batch, cells, neighbours, heads)``; 0 where there is none.
        """
        near, seen = mesh.near[self.degree], mesh.seen[self.degree]
        q = self.query(h).unflatten(-1, (self.heads, -1))
        p = q if self.key is None else self.key(h).unflatten(-1, (self.heads, -1))
        s = (q.unsqueeze(2) * p[:, near]).sum(-1) / math.sqrt(q.shape[-1])
        s = s.masked_fill(~seen.unsqueeze(-1), -math.inf)
        total = s.logsumexp(2)
        g = self.gain(h).exp()
        if self.key is None:
            attention = (s - 0.5 * (total.unsqueeze(2) + total[:, near])).exp()
            scale = g.unsqueeze(2) * g[:, near]
        else:
            attention = (s - total.unsqueeze(2)).exp()
            scale = g.square().unsqueeze(2)
        own, cosine = mesh.own(self.degree).unsqueeze(-1), mesh.cosine(self.degree).unsqueeze(-1)
        return 0.5 * scale * (own.to(h) + cosine.to(h) * attention)


def _times(rows: Tensor, near: Tensor, u: Tensor) -> Tensor:
    """Product of a star with cochains ``(batch, cells, heads, channels)``."""
    return (rows.unsqueeze(-1) * u[:, near]).sum(2)


class HodgeAttention(nn.Module):
    """Learned Hodge Laplacian of one degree, one per head.

    Parameters
    ----------
    degree
        Degree ``k`` of the cochains, 0, 1 or 2.
    width
        Features of a cell.
    heads
        Number of operators.
    symmetric
        Whether the stars are symmetric and positive definite.

    Raises
    ------
    ConfigError
        If the degree is another.
    """

    def __init__(self, degree: int, width: int, heads: int, *, symmetric: bool = True) -> None:
        super().__init__()
        if degree not in (0, 1, 2):
            raise ConfigError(f"degree is {degree}; a surface has cochains of degree 0, 1 and 2")
        self.degree, self.heads = degree, heads
        # d of degree k and k - 1 each take an inverse star of their own degree and a star of the next one
        maps = [k for k in (degree - 1, degree) if 0 <= k < 2]
        self.inverse = nn.ModuleDict({str(k): HodgeStar(k, width, heads, symmetric=symmetric) for k in maps})
        self.star = nn.ModuleDict({str(k + 1): HodgeStar(k + 1, width, heads, symmetric=symmetric) for k in maps})

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the cells whose features are used, rising."""
        return tuple(sorted({int(k) for k in (*self.inverse, *self.star)}))

    def forward(self, features: Sequence[Tensor | None], mesh: HodgeMesh, u: Tensor) -> Tensor:
        """Apply ``L_k``.

        Parameters
        ----------
        features
            Features of vertices, edges and triangles, each ``(batch or 1, cells, width)``; ``None`` where not used.
        mesh
            The surface.
        u
            Cochains of every head, shape ``(batch, cells, heads, channels)``.

        Returns
        -------
        Tensor
            Shape of ``u``.

        Raises
        ------
        ShapeError
            If ``u`` has another number of cells or heads.
        """
        if u.ndim != 4 or u.shape[1:3] != (mesh.sizes[self.degree], self.heads):
            raise ShapeError(
                f"u has shape {tuple(u.shape)}; expected (batch, {mesh.sizes[self.degree]}, {self.heads}, channels)"
            )
        total = torch.zeros_like(u)
        if str(self.degree) in self.inverse:
            up = self._star(features, mesh, self.degree + 1, mesh.d(u, self.degree))
            total = total + self._inverse(features, mesh, self.degree, mesh.transpose(up, self.degree))
        lower = self.degree - 1
        if lower >= 0:
            down = mesh.transpose(self._star(features, mesh, self.degree, u), lower)
            total = total + mesh.d(self._inverse(features, mesh, lower, down), lower)
        return total

    def _star(self, features: Sequence[Tensor | None], mesh: HodgeMesh, k: int, u: Tensor) -> Tensor:
        return _times(self.star[str(k)](features[k], mesh), mesh.near[k], u)

    def _inverse(self, features: Sequence[Tensor | None], mesh: HodgeMesh, k: int, u: Tensor) -> Tensor:
        return _times(self.inverse[str(k)](features[k], mesh), mesh.near[k], u)


def _feed(width: int, inputs: int, expansion: int) -> nn.Sequential:
    hidden = expansion * width
    return nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, width))


class _Layer(nn.Module):
    """``h += O L_0 V LN h``, ``h += FFN h``, ``e += FFN [e, h_i + h_j]``."""

    def __init__(self, config: HodgeConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm, self.edge_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.attention = HodgeAttention(0, width, config.heads, symmetric=config.symmetric)
        self.mix = _feed(width, width, config.expansion)
        self.edge_mix = _feed(width, 2 * width, config.expansion)

    def forward(self, h: Tensor, e: Tensor, mesh: HodgeMesh) -> tuple[Tensor, Tensor]:
        seen = self.norm(h)
        u = self.value(seen).unflatten(-1, (self.heads, -1))
        h = h + self.out(self.attention((seen, self.edge_norm(e), None), mesh, u).flatten(2))
        h = h + self.mix(h)
        ends = h[:, mesh.edges[:, 0]] + h[:, mesh.edges[:, 1]]
        return h, e + self.edge_mix(torch.cat([e, ends], dim=-1))


class HodgeTransformer(nn.Module):
    """Transformer on the vertices of a surface whose mixing is by learned Laplacians.

    Parameters
    ----------
    config
        Size of the network.
    vertex_features, edge_features
        Numbers of input features.
    outputs
        Numbers per vertex that come out.
    """

    def __init__(self, config: HodgeConfig, vertex_features: int, edge_features: int, outputs: int = 1) -> None:
        super().__init__()
        self.lift, self.edge_lift = nn.Linear(vertex_features, config.width), nn.Linear(edge_features, config.width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.read = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, outputs))

    def forward(self, h: Tensor, e: Tensor, mesh: HodgeMesh) -> Tensor:
        """Evaluate.

        Parameters
        ----------
        h
            Features of the vertices, shape ``(batch, V, vertex_features)``.
        e
            Features of the edges that do not know their direction, shape ``(batch, E, edge_features)``.
        mesh
            The surface, the same for the batch.

        Returns
        -------
        Tensor
            Shape ``(batch, V, outputs)``.

        Raises
        ------
        ShapeError
            If the features do not belong to the mesh.
        """
        if h.ndim != 3 or e.ndim != 3 or (h.shape[1], e.shape[1]) != mesh.sizes[:2]:
            raise ShapeError(
                f"h has shape {tuple(h.shape)}, e {tuple(e.shape)}; expected (batch, {mesh.sizes[0]}, features) and "
                f"(batch, {mesh.sizes[1]}, features)"
            )
        h, e = self.lift(h), self.edge_lift(e)
        for layer in self.layers:
            h, e = layer(h, e, mesh)
        return self.read(h)


class HodgeOperator(nn.Module):
    """Linear map of cochains by learned Laplacians, ``u + R (prod_l (1 + M_l L_l) - 1) Q u``.

    The stars are made of the geometry alone, so the map is linear in the cochain, whatever the weights; it leaves
    constant functions as they are, bit by bit, and acts on cochains of every degree.

    Parameters
    ----------
    config
        Size of the network.
    degree
        Degree of the cochains.
    """

    def __init__(self, config: HodgeConfig, degree: int = 0) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.degree, self.heads = degree, heads
        layers = [HodgeAttention(degree, width, heads, symmetric=config.symmetric) for _ in range(config.layers)]
        self.layers = nn.ModuleList(layers)
        self.embed = nn.ModuleDict(
            {str(k): nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width))
             for k in layers[0].degrees}
        )  # fmt: skip
        self.mix = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(config.layers))
        self.lift, self.read = nn.Linear(1, width, bias=False), nn.Linear(width, 1, bias=False)

    def forward(self, u: Tensor, mesh: HodgeMesh) -> Tensor:
        """Apply the map.

        Parameters
        ----------
        u
            Cochains, shape ``(batch, cells)``.
        mesh
            The surface.

        Returns
        -------
        Tensor
            Shape of ``u``.

        Raises
        ------
        ShapeError
            If ``u`` does not belong to the mesh.
        """
        if u.ndim != 2 or u.shape[1] != mesh.sizes[self.degree]:
            raise ShapeError(f"u has shape {tuple(u.shape)}; expected (batch, {mesh.sizes[self.degree]})")
        features = [
            self.embed[str(k)](mesh.features[k].to(u)).unsqueeze(0) if str(k) in self.embed else None for k in range(3)
        ]
        start = self.lift(u.unsqueeze(-1))
        now = start
        for layer, mix in zip(self.layers, self.mix, strict=True):
            image = layer(features, mesh, now.unflatten(-1, (self.heads, -1)))
            now = now + mix(image.flatten(2))
        return u + self.read(now - start).squeeze(-1)
