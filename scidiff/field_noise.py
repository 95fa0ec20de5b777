"""Noise of a huge field, window by window: what overlapping windows share is the same, bit for bit.

The sites are cut into blocks of fixed size, and each block has a stream of its own, named after its index:

    xi[site] = f(seed, sample, step, stream / block(site))[channel, site within the block]

Only the blocks that a window touches are drawn; no one draws the whole. `FieldNoise` is a `Noise`, hence what the loop
takes: a run on the window at an offset sees the noise that a run on the whole field sees there, in every step. With a
period the field is a torus, and windows may lie across its seam. Channels are the slow axis of a block, so that a field
with more channels begins with the noise of one with fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from scidiff.errors import ConfigError
from scidiff.philox import words
from scidiff.random import Noise, stream_id

__all__ = ["FieldNoise"]

_SITES = 4096
_Piece = tuple[int, slice, slice]


@dataclass(frozen=True, eq=False)
class FieldNoise(Noise):
    """Noise of a window of a field; shapes of draws end with the spatial axes.

    A state that was stored and read again has plain `Noise`; give it this one anew.

    Parameters
    ----------
    seed, samples, scope
        As for `Noise`.
    offset
        First site of the window on every spatial axis; their number is that of the spatial axes.
    period
        Size of the field where it is a torus; a field without one has no ends.
    """

    offset: tuple[int, ...] = (0, 0)
    period: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        period = self.period
        if not 1 <= len(self.offset) <= 3 or (
            period is not None and (len(period) != len(self.offset) or min(period) < 1)
        ):
            raise ConfigError(
                f"offset is {self.offset} and period {self.period}; expected one to three axes, equally many, and "
                "positive periods"
            )

    @classmethod
    def of(
        cls, seed: int, count: int, *, axes: int = 2, period: Sequence[int] | None = None, first: int = 0
    ) -> FieldNoise:
        """Noise of the samples ``first, ..., first + count - 1`` of a field with so many spatial axes."""
        samples = np.arange(first, first + count, dtype=np.uint64)
        return cls(seed, samples, offset=(0,) * axes, period=None if period is None else tuple(period))

    def window(self, offset: Sequence[int]) -> FieldNoise:
        """Noise of the window whose first site is `offset`, counted from the first site of the field."""
        return replace(self, offset=tuple(int(each) for each in offset))

    @property
    def block(self) -> int:
        """Edge of a block, in sites."""
        return round(_SITES ** (1 / len(self.offset)))

    def bits(self, shape: Sequence[int], *, step: int, stream: str) -> np.ndarray:
        """Raw 64-bit words of the window, shape ``(len(self), *shape)``.

        Parameters
        ----------
        shape
            Channels, if any, and the sites of the window on every spatial axis. A shape without spatial axes, such as
            ``()``, is drawn as by `Noise`.
        step, stream
            As for `Noise.uniform`.
        """
        axes = len(self.offset)
        if len(shape) < axes:
            return super().bits(shape, step=step, stream=stream)
        channels, sites = tuple(shape[: len(shape) - axes]), tuple(shape[len(shape) - axes :])
        out = np.empty((len(self), math.prod(channels), *sites), dtype=np.uint64)
        edge = (self.block,) * axes
        size = math.prod(channels) * self.block**axes
        for pieces in product(*(list(self._pieces(axis, length)) for axis, length in enumerate(sites))):
            index, here, there = (tuple(part) for part in zip(*pieces, strict=True))
            name = stream_id(f"{stream}{self.scope}/{','.join(map(str, index))}")
            drawn = words(self.seed, self.samples, name, step, size).reshape(*out.shape[:2], *edge)
            out[(slice(None), slice(None), *here)] = drawn[(slice(None), slice(None), *there)]
        return out.reshape(len(self), *shape)

    def _pieces(self, axis: int, length: int) -> Iterator[_Piece]:
        """Cut the window along an axis: index of a block, and the sites in the window and in the block."""
        period = None if self.period is None else self.period[axis]
        done = 0
        while done < length:
            site = self.offset[axis] + done
            site = site if period is None else site % period
            index, within = divmod(site, self.block)
            end = min(length - done, self.block - within, length if period is None else period - site)
            yield index, slice(done, done + end), slice(within, within + end)
            done += end
