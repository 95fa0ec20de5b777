"""Exponential time differencing of fourth order for ``d_t c = L c + N(c)`` with diagonal L.

With ``E = exp(h L)``, ``E2 = exp(h L / 2)`` and ``phi`` functions of ``h L`` [1]_,

    a = E2 c + Q N(c),    b = E2 c + Q N(a),    d = E2 a + Q (2 N(b) - N(c))
    c' = E c + f1 N(c) + 2 f2 (N(a) + N(b)) + f3 N(d)

    Q  = h (e^(z/2) - 1) / z                         f1 = h (-4 - z + e^z (4 - 3 z + z^2)) / z^3
    f2 = h (2 + z + e^z (z - 2)) / z^3               f3 = h (-4 - 3 z - z^2 + e^z (4 - z)) / z^3,     z = h L.

The quotients cancel near ``z = 0``; there they are means over a circle around z in the complex plane [2]_.

References
----------
.. [1] S. Cox and P. Matthews, J. Comput. Phys. 176, 430 (2002), doi:10.1006/jcph.2002.6995
.. [2] A.-K. Kassam and L. Trefethen, SIAM J. Sci. Comput. 26, 1214 (2005), doi:10.1137/S1064827502410633
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["Etdrk4"]

_POINTS = 32


@dataclass(frozen=True, eq=False)
class Etdrk4:
    """One step.

    Parameters
    ----------
    linear
        Diagonal of L, real and not positive, any shape.
    nonlinear
        N, from coefficients to coefficients, differentiable.
    step
        Length h of the step.
    """

    linear: Tensor
    nonlinear: Callable[[Tensor], Tensor]
    step: float

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise ConfigError(f"step is {self.step}; expected a positive time")
        angle = torch.pi * (torch.arange(_POINTS, dtype=torch.float64) + 0.5) / _POINTS
        h, linear = self.step, self.linear.double()
        z = h * linear[..., None] + torch.polar(torch.ones_like(angle), angle)
        e, mean = z.exp(), lambda quotient: h * quotient.real.mean(-1)
        parts = {
            "_full": (h * linear).exp(),
            "_half": (h * linear / 2).exp(),
            "_q": mean(((z / 2).exp() - 1) / z),
            "_f1": mean((-4 - z + e * (4 - 3 * z + z**2)) / z**3),
            "_f2": mean((2 + z + e * (z - 2)) / z**3),
            "_f3": mean((-4 - 3 * z - z**2 + e * (4 - z)) / z**3),
        }
        for name, value in parts.items():
            object.__setattr__(self, name, value)

    def __call__(self, c: Tensor) -> Tensor:
        """Coefficients after one step."""
        n0 = self.nonlinear(c)
        a = self._half * c + self._q * n0
        na = self.nonlinear(a)
        nb = self.nonlinear(self._half * c + self._q * na)
        nd = self.nonlinear(self._half * a + self._q * (2 * nb - n0))
        return self._full * c + self._f1 * n0 + 2 * self._f2 * (na + nb) + self._f3 * nd

    def run(self, c: Tensor, count: int) -> Tensor:
        """Coefficients after `count` steps."""
        for _ in range(count):
            c = self(c)
        return c
