"""States compared, cut and embedded, whatever they are made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from scipy.stats import norm
from torch import Tensor

from scidiff.errors import ConfigError, ScidiffError
from scidiff.random import Noise
from scidiff.spaces import State, state_map
from scidiff.testing.require import require

__all__ = ["close", "finite", "parts", "refused", "same_law", "size", "take", "take_any"]

_FREQUENCIES = 24
_FALSE_ALARM = 1e-6


def parts(state: State) -> dict[str, Tensor]:
    """Tensors of a state by name; a single one has the empty name."""
    return dict(state) if isinstance(state, Mapping) else {"": state}


def take(state: State, index: Tensor) -> State:
    """Rows of a state."""
    return state_map(lambda part: part[index], state)


def take_any(condition: Any, index: Tensor) -> Any:
    """Rows of a condition: None, a tensor, a mapping or a dataclass of them, or an object with ``take``."""
    if condition is None or isinstance(condition, str | int | float | bool):
        return condition
    if isinstance(condition, Tensor):
        return condition[index]
    if isinstance(condition, Mapping):
        return {key: take_any(value, index) for key, value in condition.items()}
    if hasattr(condition, "take"):
        return condition.take(index)
    if dataclasses.is_dataclass(condition) and not isinstance(condition, type):
        members = {f.name: take_any(getattr(condition, f.name), index) for f in dataclasses.fields(condition)}
        return dataclasses.replace(condition, **members)
    raise ConfigError(
        f"a condition of type {type(condition).__name__} cannot be cut; pass take=(condition, index) -> ..."
    )


def size(state: State) -> float:
    """Largest finite absolute entry, at least 1."""
    entries = [part[part.isfinite()].abs().double() for part in parts(state).values()]
    return max([1.0, *(float(entry.max()) for entry in entries if entry.numel())])


def finite(state: State, message: str, *, below: bool = False) -> None:
    """Require finite entries; ``-inf`` passes where `below` is set, since it is the logarithm of probability 0."""
    for name, part in parts(state).items():
        fine = part.isfinite() | (part == -torch.inf) if below else part.isfinite()
        bad = int((~fine).sum())
        require(not bad, f"{message}{f' of {name}' if name else ''} has {bad} entries that are not finite")


def close(got: State, want: State, slack: float, message: str, space: Any = None) -> None:
    """Require equality to ``slack * size(want)``; integers exactly, points of a space by their distance."""
    for name, part in parts(want).items():
        other, where = parts(got)[name], f" ({name})" if name else ""
        require(other.shape == part.shape, f"{message}{where}: shape {tuple(other.shape)}, not {tuple(part.shape)}")
        if not part.is_floating_point():
            off, allowed = int((other != part).sum()), 0.0
        elif space is not None:
            off, allowed = float(space.dist(other.to(part), part).max()), slack * size(part)
        else:
            gap = torch.where(other.to(part) == part, 0.0, (other.to(part) - part).abs())
            off, allowed = float(gap.max()) if gap.numel() else 0.0, slack * size(part)
        require(off <= allowed, f"{message}{where}: off by {off:.3g}, allowed {allowed:.3g}")


def refused(call: Callable[[], Any], message: str) -> None:
    """Require a typed error of the package."""
    try:
        call()
    except ScidiffError:
        return
    require(False, message)


def same_law(first: list[Tensor], second: list[Tensor], seed: int, message: str, *, gap: float = 0.0) -> None:
    """Require that two samples have the same means of 25 bounded functions of their columns ``y`` of unit spread.

    These are ``cos(w . y + b)`` of random direction, and the mean of ``min(y^2, 9)`` over the columns. The draws are
    independent and their functions bounded, so that the difference of two means is normal; its bound is the quantile
    that all functions together exceed with probability 1e-6, plus `gap`.

    Parameters
    ----------
    first, second
        Columns of both samples, each of shape ``(count, ...)``: floats, or integers, which count as classes.
    seed
        Seed of the functions.
    message
        What does not hold if they differ.
    gap
        Largest difference of means that is allowed beyond chance.
    """
    a, b = _embed(first, second)
    dim = a.shape[1]
    noise = Noise.range(seed, _FREQUENCIES)
    w = noise.normal((dim,), step=0, stream="kit/frequency")
    w = 1.5 * w / w.norm(dim=1, keepdim=True)
    single = min(dim, _FREQUENCIES // 2)
    w[:single] = torch.eye(dim, dtype=torch.float64)[torch.linspace(0, dim - 1, single).long()]
    shift = 2 * math.pi * noise.uniform((), step=0, stream="kit/phase")
    u, v = (torch.cat([(y @ w.T + shift).cos(), (y**2).clamp_max(9).mean(1, keepdim=True)], 1) for y in (a, b))
    error = (u.var(0) / len(u) + v.var(0) / len(v)).sqrt()
    bound = float(norm.isf(_FALSE_ALARM / (2 * u.shape[1]))) * error + gap + 1e-9
    off = (u.mean(0) - v.mean(0)).abs()
    worst = (off / bound).argmax()
    off, bound = float(off[worst]), float(bound[worst])
    require(off <= bound, f"{message}: means of a bounded function differ by {off:.3g}, allowed {bound:.3g}")


def _embed(first: list[Tensor], second: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Columns of both samples as vectors of unit spread; classes as one-hot vectors."""
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for a, b in zip(first, second, strict=True):
        classes = 0 if a.is_floating_point() else int(max(a.max(), b.max())) + 1
        for side, column in zip(sides, (a, b), strict=True):
            vector = torch.nn.functional.one_hot(column, classes) if classes else column
            side.append(vector.double().flatten(1))
    x, y = (torch.cat(side, 1) for side in sides)
    both = torch.cat([x, y])
    spread = both.std(0)
    spread = torch.where(spread > 1e-9 * (1 + both.abs().mean(0)), spread, 1.0)
    return (x - both.mean(0)) / spread, (y - both.mean(0)) / spread
