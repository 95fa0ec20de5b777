"""Site kernels ``Q_{t|s}`` of discrete diffusion: one family for masks, uniform, marginal and tree noise.

States ``0..K-1`` are clean; auxiliary states (groups, the mask) come after them; ``D >= K`` states in all. Matrices are
row-stochastic: ``Q_{t|s}[x, y] = q(x_t = y | x_s = x)``.

`LevelKernel` is built from idempotent stochastic projections ``Q_1..Q_n`` with ``Q_i Q_j = Q_max(i,j)``, and one
survival ``a_1 <= ... <= a_n`` per level. With ``r_l = a_l(t) / a_l(s)``, ``r_{n+1} = 1`` and ``Q_0 = I``,

    Q_{t|s} = r_1 Q_0 + (r_2 - r_1) Q_1 + ... + (1 - r_n) Q_n,

which satisfies Chapman-Kolmogorov. Its entries are non-negative for every ``s <= t`` if and only if each
``a_l / a_{l+1}`` is non-increasing; ``a_l <= a_{l+1}`` alone is not enough. The rate matrix is

    R_t = b_1 Q_0 + (b_2 - b_1) Q_1 + ... - b_n Q_n,    b_l = a_l' / a_l.

References
----------
.. [1] J. Austin et al., "Structured denoising diffusion models in discrete state-spaces", arXiv:2107.03006
.. [2] C. Vignac et al., "DiGress", arXiv:2209.14734 (marginal kernel)
.. [3] "MolHIT: hierarchical discrete diffusion", arXiv:2602.17602 (clean -> group -> mask)
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.survival import Linear, Power, Survival
from scidiff.spaces.categorical import draw_probs

__all__ = ["Kernel", "LevelKernel", "marginal", "mask", "tree", "uniform"]

_GRID = 2001
_ROUND = 1e-10


class Kernel(ABC):
    """The law of one site. Times are float64 and broadcast against the sites; ``s <= t``.

    Attributes
    ----------
    states
        Number of states ``D``.
    clean
        Number of clean classes ``K``; they are the states ``0..K-1``.
    """

    states: int
    clean: int

    @abstractmethod
    def row(self, x: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Law ``Q_{t|s}[x, :]`` of the later state, shape ``(*sites, D)``."""

    @abstractmethod
    def column(self, x_t: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Likelihood ``Q_{t|s}[:, x_t]`` of the earlier state, shape ``(*sites, D)``."""

    @abstractmethod
    def mix(self, w: Tensor, s: Tensor) -> Tensor:
        """Sum ``sum_v w(v) Q_s[v, :]`` over the clean classes, ``(*sites, K) -> (*sites, D)``."""

    @abstractmethod
    def matrix(self, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Whole matrix ``Q_{t|s}``, shape ``(*times, D, D)``."""

    @abstractmethod
    def rate(self, t: Tensor) -> Tensor:
        """Rate matrix ``R_t``, rows summing to 0, shape ``(*times, D, D)``; needs ``t < 1``."""

    @abstractmethod
    def rate_column(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Rates ``R_t[:, x_t]`` into the present state, shape ``(*sites, D)``; needs ``t < 1``."""

    @abstractmethod
    def prior(self) -> Tensor:
        """Law of a site at ``t = 1``, shape ``(D,)``."""

    def draw(self, x: Tensor, u: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Draw the later state from `row` with uniforms ``u``, by inverse CDF."""
        return draw_probs(self.row(x, t, s), u)

    def entry(self, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Single probability ``Q_t[x0, x_t]`` at every site."""
        return self.column(x_t, t).gather(-1, x0.unsqueeze(-1)).squeeze(-1)


@dataclass(frozen=True, eq=False)
class LevelKernel(Kernel):
    """Kernel of a hierarchy of projections.

    Parameters
    ----------
    projections
        ``Q_1..Q_n``, float64, shape ``(n, D, D)``.
    survivals
        ``a_1..a_n``, one per projection.
    clean
        Number of clean classes ``K``.

    Raises
    ------
    ConfigError
        If a projection is not stochastic, the projections do not form a hierarchy, the last one keeps information, or
        the survivals would give a negative probability.
    """

    projections: Tensor
    survivals: tuple[Survival, ...]
    clean: int
    levels: Tensor = field(init=False, repr=False)
    flat: tuple[bool, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        projections = torch.as_tensor(self.projections, dtype=torch.float64)
        object.__setattr__(self, "survivals", tuple(self.survivals))
        _check_projections(projections, len(self.survivals), self.clean)
        _check_survivals(self.survivals)
        eye = torch.eye(projections.shape[-1], dtype=torch.float64)
        object.__setattr__(self, "levels", torch.cat([eye[None], projections]))
        object.__setattr__(self, "flat", tuple(bool((level == level[0]).all()) for level in projections))

    @property
    def states(self) -> int:
        """Number of states ``D``."""
        return self.levels.shape[-1]

    def coefficients(self, t: Tensor, s: Tensor | float = 0.0) -> list[Tensor]:
        """Weights of ``Q_0..Q_n`` in ``Q_{t|s}``: they are non-negative and sum to 1.

        Small weights keep their relative accuracy at both ends: differences are taken between complements ``1 - r``
        while ``r`` is near 1 and between the ratios ``r`` afterwards.
        """
        t = torch.as_tensor(t, dtype=torch.float64)
        s = torch.as_tensor(s, dtype=torch.float64, device=t.device)
        ratios, losses = [], []
        for survival in self.survivals:
            before = survival.value(s)
            alive = before > 0
            safe = torch.where(alive, before, 1.0)
            ratios.append(torch.where(alive, survival.value(t) / safe, 1.0))
            losses.append(torch.where(alive, (survival.complement(t) - survival.complement(s)) / safe, 0.0))
        out = [ratios[0]]
        for level in range(1, len(ratios)):
            late = ratios[level] < 0.5
            gap = torch.where(late, ratios[level] - ratios[level - 1], losses[level - 1] - losses[level])
            out.append(gap.clamp_min(0.0))
        return [*out, losses[-1].clamp_min(0.0)]

    def slopes(self, t: Tensor) -> list[Tensor]:
        """Weights of ``Q_0..Q_n`` in the rate matrix: they sum to 0."""
        t = torch.as_tensor(t, dtype=torch.float64)
        logs = [survival.slope(t) / survival.value(t) for survival in self.survivals]
        return [logs[0], *(later - earlier for earlier, later in itertools.pairwise(logs)), -logs[-1]]

    def row(self, x: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Law ``Q_{t|s}[x, :]`` of the later state."""
        return self._rows(self.coefficients(t, s), x)

    def column(self, x_t: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Likelihood ``Q_{t|s}[:, x_t]`` of the earlier state."""
        return self._columns(self.coefficients(t, s), x_t)

    def mix(self, w: Tensor, s: Tensor) -> Tensor:
        """Sum ``sum_v w(v) Q_s[v, :]`` over the clean classes."""
        weights, levels = self.coefficients(s), self.levels.to(w)
        total = w.sum(-1, keepdim=True)
        out = torch.nn.functional.pad(w * _last(weights[0]), (0, self.states - self.clean))
        for weight, level, flat in zip(weights[1:], levels[1:], self.flat, strict=True):
            out += (total * _last(weight)) * level[0] if flat else (w @ level[: self.clean]) * _last(weight)
        return out

    def draw(self, x: Tensor, u: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Draw the later state: ``u`` chooses the level, and what is left of it the state within the level."""
        weights = self.coefficients(t, s)
        out, edge = x, weights[0]
        for weight, level in zip(weights[1:], self.levels[1:].to(x.device), strict=True):
            if bool((level.amax(-1) == 1.0).all()):
                inside = level.argmax(-1)[x]
            else:
                rest = (u - edge) / torch.where(weight > 0, weight, 1.0)
                inside = draw_probs(torch.nn.functional.embedding(x, level), rest.clamp(2.0**-54, 1.0))
            out = torch.where((u > edge) & (weight > 0), inside, out)
            edge = edge + weight
        return out

    def matrix(self, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Whole matrix ``Q_{t|s}``."""
        return self._combine(self.coefficients(t, s))

    def rate(self, t: Tensor) -> Tensor:
        """Rate matrix ``R_t``."""
        return self._combine(self.slopes(t))

    def rate_column(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Rates ``R_t[:, x_t]`` into the present state."""
        return self._columns(self.slopes(t), x_t)

    def prior(self) -> Tensor:
        """Law of a site at ``t = 1``: any row of ``Q_n``."""
        return self.levels[-1, 0].clone()

    def _combine(self, weights: Sequence[Tensor]) -> Tensor:
        levels = self.levels.to(weights[0].device)
        return sum(_last(_last(weight)) * level for weight, level in zip(weights, levels, strict=True))

    def _rows(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        """Sum of the weighted rows ``Q_l[x, :]``; a level whose rows are all equal needs no look-up."""
        parts = [
            _last(weight) * (level[0] if flat else torch.nn.functional.embedding(x, level))
            for weight, level, flat in zip(weights[1:], self.levels[1:].to(x.device), self.flat, strict=True)
        ]
        return self._with_identity(parts, weights[0], x)

    def _columns(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        """Sum of the weighted columns ``Q_l[:, x]``; see `_rows`."""
        parts = [
            _last(weight * level[0][x]) if flat else _last(weight) * torch.nn.functional.embedding(x, level.mT)
            for weight, level, flat in zip(weights[1:], self.levels[1:].to(x.device), self.flat, strict=True)
        ]
        return self._with_identity(parts, weights[0], x)

    def _with_identity(self, parts: Sequence[Tensor], weight: Tensor, x: Tensor) -> Tensor:
        """Sum of the parts and of the weighted identity, shape ``(*sites, D)``."""
        shape = torch.broadcast_shapes(x.shape, weight.shape)
        out = torch.zeros((*shape, self.states), dtype=torch.float64, device=x.device)
        for part in parts:
            out += part
        where, value = x.expand(shape), weight.expand(shape)
        return out.scatter_add_(-1, _last(where), _last(value))


def mask(classes: int, survival: Survival | None = None) -> LevelKernel:
    """Absorbing kernel: a class survives with ``a(t)``, else it is the mask, state ``classes``.

    Parameters
    ----------
    classes
        Number of classes, the mask not counted.
    survival
        Share ``a(t)`` of the classes that have not been redrawn; `Linear` by default.

    References
    ----------
    .. [1] S. Sahoo et al., "Simple and effective masked diffusion language models", arXiv:2406.07524
    """
    return tree(survivals=(survival or Linear(),), classes=classes)


def uniform(classes: int, survival: Survival | None = None) -> LevelKernel:
    """Uniform kernel: a class survives with ``a(t)``, else it is redrawn uniformly.

    Parameters
    ----------
    classes
        Number of classes.
    survival
        Share ``a(t)`` of the classes that have not been redrawn; `Linear` by default.
    """
    return marginal(torch.full((classes,), 1.0 / classes, dtype=torch.float64), survival)


def marginal(probs: Tensor | Sequence[float], survival: Survival | None = None) -> LevelKernel:
    """Marginal kernel: a class survives with ``a(t)``, else it is redrawn from ``probs``.

    Parameters
    ----------
    probs
        Probabilities of the classes.
    survival
        Share ``a(t)`` of the classes that have not been redrawn; `Linear` by default.

    References
    ----------
    .. [1] C. Vignac et al., "DiGress: discrete denoising diffusion for graph generation", arXiv:2209.14734
    """
    probs = torch.as_tensor(probs, dtype=torch.float64)
    if probs.ndim != 1 or bool((probs < 0).any()) or abs(float(probs.sum()) - 1.0) > 1e-6:
        raise ConfigError(f"probs sum to {float(probs.sum()):.8g}; expected a vector of numbers >= 0 summing to 1")
    return LevelKernel((probs / probs.sum()).expand(1, len(probs), -1), (survival or Linear(),), len(probs))


def tree(
    *parents: Sequence[int], survivals: Sequence[Survival] | None = None, classes: int | None = None
) -> LevelKernel:
    """Hierarchical kernel: clean class -> group -> ... -> mask.

    Parameters
    ----------
    *parents
        One list per depth: ``parents[0][v]`` is the group of class ``v``; ``parents[1][g]`` the group of group ``g``;
        and so on. Groups of a depth are numbered from 0. States: classes, then the groups of each depth, then the mask.
    survivals
        One per depth and one for the step to the mask: ``a_1 <= a_2 <= ...``. By default ``1 - t, 1 - t^2, ...``.
    classes
        Number of classes; needed where no parents are given.

    References
    ----------
    .. [1] "MolHIT: hierarchical discrete diffusion", arXiv:2602.17602; general trees are an extension.
    """
    clean = len(parents[0]) if parents else classes
    if clean is None or (classes is not None and classes != clean):
        raise ConfigError(f"tree has {clean} classes and classes={classes}; pass one list of parents or classes alone")
    widths = [clean, *(max(level) + 1 for level in parents), 1]
    for depth, level in enumerate(parents):
        if len(level) != widths[depth] or set(level) != set(range(widths[depth + 1])):
            raise ConfigError(
                f"parents[{depth}] is {list(level)}; expected {widths[depth]} numbers that use every group from 0 on"
            )
    if survivals is None:
        survivals = [Linear(), *(Power(depth + 2.0) for depth in range(len(parents)))]
    offsets = torch.tensor([0, *widths]).cumsum(0)
    states = int(offsets[-1])
    up = torch.arange(states)
    for depth, level in enumerate([*parents, [0] * widths[-2]]):
        up[offsets[depth] : offsets[depth + 1]] = offsets[depth + 1] + torch.tensor(level)
    where, projections = torch.arange(states), []
    for depth in range(len(widths) - 1):
        where = torch.where(where < offsets[depth + 1], up[where], where)
        projections.append(torch.nn.functional.one_hot(where, states).double())
    return LevelKernel(torch.stack(projections), tuple(survivals), clean)


def _last(weight: Tensor) -> Tensor:
    return weight.unsqueeze(-1)


def _check_projections(projections: Tensor, count: int, clean: int) -> None:
    if projections.ndim != 3 or projections.shape[1] != projections.shape[2] or len(projections) != count or not count:
        raise ConfigError(
            f"projections have shape {tuple(projections.shape)} for {count} survivals; expected (levels, D, D)"
        )
    if not 0 < clean <= projections.shape[1]:
        raise ConfigError(f"clean is {clean}; expected a number in [1, {projections.shape[1]}]")
    if bool((projections < 0).any()) or float((projections.sum(-1) - 1).abs().max()) > _ROUND:
        raise ConfigError("a projection is not stochastic; expected entries >= 0 and rows summing to 1")
    for i in range(count):
        for j in range(count):
            if float((projections[i] @ projections[j] - projections[max(i, j)]).abs().max()) > _ROUND:
                raise ConfigError(
                    f"Q_{i + 1} Q_{j + 1} differs from Q_{max(i, j) + 1}; order the levels fine to coarse"
                )
    if float((projections[-1] - projections[-1, :1]).abs().max()) > _ROUND:
        raise ConfigError("rows of the last projection differ, so the prior depends on the data; end with a common row")


def _check_survivals(survivals: Sequence[Survival]) -> None:
    t = torch.linspace(0.0, 1.0, _GRID, dtype=torch.float64)
    values = [survival.value(t) for survival in survivals]
    for survival, value in zip(survivals, values, strict=True):
        ends = abs(float(value[0]) - 1.0) < _ROUND and float(value[-1]) == 0.0
        if not ends or bool((value.diff() > 0).any()):
            raise ConfigError(f"{survival!r} is not a survival; expected a decreasing curve with a(0) = 1 and a(1) = 0")
    for level in range(len(values) - 1):
        ratio = values[level][:-1] / values[level + 1][:-1]
        if bool((ratio.diff() > 1e-12).any()):
            at = float(t[int(ratio.diff().argmax())])
            raise ConfigError(
                f"a_{level + 1}/a_{level + 2} of {survivals[level]!r} and {survivals[level + 1]!r} increases near "
                f"t = {at:.3f}, which makes a probability negative; let the coarser level survive longer at every time"
            )
