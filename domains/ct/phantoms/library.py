"""Named phantoms in mm and 1/mm.

`shepp_logan` is the modified head phantom with higher contrast; `forbild_like` has what makes the FORBILD head hard
(thin skull, cut planes, low contrasts, a row of fine holes) with numbers of its own; `tooth_like` nests super-ellipses;
`disc_with_holes` is the kind of object that the limited-angle challenge of Helsinki segments.

References
----------
L. A. Shepp and B. F. Logan, "The Fourier reconstruction of a head section", IEEE Trans. Nucl. Sci. 21 (1974) 21,
doi:10.1109/TNS.1974.6499235; P. A. Toft, "The Radon transform", PhD thesis (1996), appendix B, for the contrasts.
"""

from __future__ import annotations

import math

from ..units import MU_WATER, from_hu
from .phantom import Phantom
from .shapes import Body, Ellipse, Ellipsoid, SuperEllipse

__all__ = ["forbild_like", "shepp_logan", "shepp_logan_3d", "tooth_like", "water_disc"]

# density, semi-axes a b, centre x0 y0 (all on [-1, 1]^2), turn in degrees
_SHEPP_LOGAN = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(extent: float = 200.0, density: float = 2 * MU_WATER) -> Phantom:
    """Modified Shepp-Logan head.

    Parameters
    ----------
    extent
        Edge of the square, mm.
    density
        Attenuation of the skull, 1/mm.

    Returns
    -------
    Phantom
        Ten ellipses.
    """
    r = extent / 2
    bodies = tuple(
        Ellipse(density * rho, (x * r, y * r), (a * r, b * r), math.radians(turn))
        for rho, a, b, x, y, turn in _SHEPP_LOGAN
    )
    return Phantom("Shepp-Logan", bodies, extent)


def shepp_logan_3d(extent: float = 200.0, density: float = 2 * MU_WATER) -> Phantom:
    """Return the ellipses of `shepp_logan` as ellipsoids, as deep as the mean of their semi-axes.

    Parameters
    ----------
    extent, density
        As for `shepp_logan`.
    """
    r = extent / 2
    bodies = tuple(
        Ellipsoid(density * rho, (x * r, y * r, 0.0), (a * r, b * r, 0.5 * (a + b) * r), math.radians(turn))
        for rho, a, b, x, y, turn in _SHEPP_LOGAN
    )
    return Phantom("Shepp-Logan, 3-D", bodies, extent)


def water_disc(radius: float = 80.0, hu: float = 0.0) -> Phantom:
    """Disc of one HU value in air: the test of units.

    Parameters
    ----------
    radius
        Radius in mm.
    hu
        Its value.
    """
    return Phantom("water disc", (Ellipse(from_hu(hu), axes=(radius, radius)),), 2.4 * radius)


def forbild_like(extent: float = 240.0) -> Phantom:
    """Head with a skull of 5 mm, cut cavities, contrasts of 5 to 10 HU, and a pattern of fine holes.

    Parameters
    ----------
    extent
        Edge of the square that holds it, mm.
    """
    r = extent / 240.0
    tissue, bone = from_hu(50.0), from_hu(800.0)
    low = MU_WATER * 0.01
    bodies: list[Body] = [
        Ellipse(bone, axes=(96 * r, 120 * r)),
        Ellipse(tissue - bone, axes=(91 * r, 115 * r)),
        # frontal sinus: the part above a plane; petrous bone: the part beside one
        Ellipse(-tissue, (0.0, 84 * r), (18 * r, 14 * r), cuts=((0.0, -1.0, -82 * r),)),
        Ellipse(bone - tissue, (-62 * r, -30 * r), (26 * r, 9 * r), 0.35, ((1.0, 0.4, -66 * r),)),
        Ellipse(bone - tissue, (62 * r, -30 * r), (26 * r, 9 * r), -0.35, ((-1.0, 0.4, -66 * r),)),
        Ellipse(low, (-18 * r, 10 * r), (14 * r, 32 * r), 0.3),
        Ellipse(-low, (18 * r, 10 * r), (14 * r, 32 * r), -0.3),
        Ellipse(0.5 * low, (0.0, -55 * r), (20 * r, 12 * r)),
    ]
    for row in range(5):
        for column in range(4):
            radius = (2.4 - 0.4 * row) * r
            bodies.append(Ellipse(-tissue, ((-24 + 16 * column) * r, (-88 + 7 * row) * r), (radius, radius)))
    return Phantom("FORBILD-like", tuple(bodies), extent * 1.05)


def tooth_like(extent: float = 12.0) -> Phantom:
    """Enamel, dentine, pulp and three cracks.

    Parameters
    ----------
    extent
        Edge of the square that holds it, mm.
    """
    r = extent / 12.0
    enamel, dentine = 0.30, 0.20
    bodies: list[Body] = [
        SuperEllipse(enamel, (0.0, 0.0), (4.6 * r, 3.8 * r)),
        SuperEllipse(dentine - enamel, (0.1 * r, 0.0), (3.7 * r, 2.9 * r)),
        SuperEllipse(-dentine * 0.8, (-1.0 * r, 0.1 * r), (0.8 * r, 0.5 * r), 0.3),
        SuperEllipse(-dentine * 0.8, (1.2 * r, -0.1 * r), (0.6 * r, 0.7 * r), -0.2),
    ]
    for x, y, turn in ((-2.4, 1.2, 0.8), (2.3, 1.4, -0.7), (0.3, -1.9, 1.5)):
        bodies.append(Ellipse(-dentine, (x * r, y * r), (0.7 * r, 0.06 * r), turn))
    return Phantom("tooth-like", tuple(bodies), extent)
