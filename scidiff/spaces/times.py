"""Times of states: one for every site, as the loop keeps them, or one for every sample, as many networks want them."""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ShapeError

__all__ = ["sample_time", "site_time"]


def site_time(t: Tensor | float, x: Tensor) -> Tensor:
    """Bring a time to float64 and to a shape that broadcasts against the sites of ``x``.

    A tensor ``t`` of shape ``(batch,)`` gains trailing axes; scalars and per-site tensors pass.
    """
    t = torch.as_tensor(t, dtype=torch.float64, device=x.device)
    return t.reshape(-1, *(1,) * (x.ndim - 1)) if t.ndim == 1 and x.ndim > 1 else t


def sample_time(t: Tensor | float, x: Tensor, advice: str = "the network here takes one time per sample") -> Tensor:
    """Bring a time to float64 and to one number per sample, shape ``(batch,)``.

    Parameters
    ----------
    t
        Time of all samples, of each sample, or of each site.
    x
        State, batch first.
    advice
        What the error says to do.

    Raises
    ------
    ShapeError
        If the sites of a sample have different times, as where some of them are known and held.
    """
    t = torch.as_tensor(t, dtype=torch.float64, device=x.device)
    if t.ndim <= 1:
        return t.expand(len(x))
    flat = t.expand(len(x), *t.shape[1:]).flatten(1)
    if bool((flat != flat[:, :1]).any()):
        raise ShapeError(f"sites of one sample came with different times; {advice}")
    return flat[:, 0]
