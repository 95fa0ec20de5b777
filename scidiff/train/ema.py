r"""Exponential moving average of the parameters, with a warm-up of its decay.

After optimizer step :math:`k = 1, 2, \dots` the average of a parameter :math:`\theta` becomes

.. math::
    \bar\theta_k = \beta_k \bar\theta_{k-1} + (1 - \beta_k)\,\theta_k, \qquad
    \beta_k = \min\Bigl(\beta, \frac{1 + k}{10 + k}\Bigr), \qquad \bar\theta_0 = \theta_0,

so that early averages forget the initialisation quickly. The average is kept in float32 at least, whatever the
precision of the parameters: with :math:`1 - \beta = 10^{-3}` a bfloat16 average would lose every update.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Ema", "decay_at"]


def decay_at(step: int, decay: float) -> float:
    """Decay used by the update that follows optimizer step ``step``.

    Parameters
    ----------
    step
        Optimizer steps taken, from 1.
    decay
        Final decay.

    Returns
    -------
    float
        ``min(decay, (1 + step) / (10 + step))``.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """The averaged parameters of one network.

    Parameters
    ----------
    network
        Network whose parameters are averaged; its present values start the average.
    decay
        Final decay, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        named = dict(network.named_parameters())
        self.decay = decay
        self._names = list(named)
        self._live = [p.detach() for p in named.values()]
        self._mean = [p.to(torch.promote_types(p.dtype, torch.float32), copy=True) for p in self._live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the network's present parameters into the average.

        Parameters
        ----------
        step
            Optimizer steps taken so far, from 1.
        """
        live = [p.to(m.dtype) for p, m in zip(self._live, self._mean, strict=True)]
        torch._foreach_lerp_(self._mean, live, 1.0 - decay_at(step, self.decay))  # pyright: ignore[reportPrivateImportUsage]

    def tensors(self) -> dict[str, Tensor]:
        """Averaged parameters by name; they share memory with the average."""
        return dict(zip(self._names, self._mean, strict=True))

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace the average.

        Parameters
        ----------
        tensors
            A value for every parameter name, as :meth:`tensors` gave it.
        """
        for name, mean in zip(self._names, self._mean, strict=True):
            mean.copy_(tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averaged parameters inside a ``with`` block, and its own back afterwards."""
        own = [p.clone() for p in self._live]
        self._write(self._mean)
        try:
            yield
        finally:
            self._write(own)

    def settle(self) -> None:
        """Give the network the averaged parameters for good."""
        self._write(self._mean)

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        for live, value in zip(self._live, values, strict=True):
            live.copy_(value)
