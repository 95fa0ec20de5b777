"""The law of the noise: phi and psi on the torus, CA as an ideal polymer, both on straight paths.

A state has two factors. ``torsion``, shape ``(L, 2, 1)``, holds phi and psi; its prior is uniform. ``ca``, shape
``(L, 3)``, holds centred CA positions in units of `UNIT`; its prior is a stationary chain of first order

    x_0 = a z_0 / sqrt(1 - b^2),    x_i = b x_{i-1} + a z_i,    a^2 = (3.8^2 / 3)(1 + b) / 2,

whose steps have a root mean square of 3.8 Å and whose radius of gyration grows with the length about as that of
folded chains does, the idea of [1]_: noise that is connected like a chain leaves more of the fold to be seen. With
`whiten` the white noise is found back, ``z_i = (x_i - b x_{i-1}) / a``; squared errors are taken there, so that every
scale from a bond to the fold has its share.

References
----------
.. [1] J. Ingraham et al., "Illuminating protein space with a programmable generative model", Nature (2023),
   doi:10.1038/s41586-023-06728-8
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.process.base import ProductProcess
from scidiff.process.geodesic import GeodesicFlow
from scidiff.random import Source
from scidiff.spaces import Power, Torus
from scidiff.spaces.centred import centre
from scidiff.spaces.flat import Flat

from ..geometry import CA_STEP

__all__ = ["MEMORY", "UNIT", "Polymer", "chain_process", "polymer", "whiten"]

UNIT = 10.0
"""Å in the unit of length of the state."""
MEMORY = 0.98
"""Coefficient ``b`` of the prior; solves for the radius of gyration ``2.2 L^0.38`` at 40 to 80 residues."""
_STEP = CA_STEP / UNIT * math.sqrt((1 + MEMORY) / 6)


def polymer(z: Tensor) -> Tensor:
    """Turn white noise into chains.

    Parameters
    ----------
    z
        Standard normal, shape ``(batch, length, 3)``.

    Returns
    -------
    Tensor
        Positions in units of `UNIT`, not centred, same shape.
    """
    place = torch.arange(z.shape[1], dtype=z.dtype, device=z.device)
    power = (place.unsqueeze(1) - place).clamp(min=0)
    kernel = torch.where(place.unsqueeze(1) >= place, MEMORY**power, 0.0) * _STEP
    kernel[:, 0] /= math.sqrt(1 - MEMORY**2)
    return kernel @ z


def whiten(x: Tensor) -> Tensor:
    """Undo `polymer` but for the first residue, shape ``(batch, length - 1, 3)``."""
    return (x[:, 1:] - MEMORY * x[:, :-1]) / _STEP


@dataclass(frozen=True)
class Polymer:
    """Prior of CA.

    Parameters
    ----------
    scale
        Factor of the positions; 1 is the law of training.
    """

    scale: float = 1.0

    def __call__(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw centred chains, float64, shape ``(len(noise), *shape)``."""
        return self.scale * centre(polymer(noise.normal(tuple(shape), step=step, stream=stream)))


def chain_process(temperature: float = 1.0) -> ProductProcess:
    """Law of both factors.

    Parameters
    ----------
    temperature
        Square of the factor of the CA prior; 1 is the law of training.
    """
    torsion = GeodesicFlow(Power(Torus(1), (None, 2)))
    ca = GeodesicFlow(Power(Flat(3), (None,)), base=Polymer(math.sqrt(temperature)))
    return ProductProcess({"torsion": torsion, "ca": ca})
