"""Phantoms with exact line integrals: simulated data commit no inverse crime."""

from __future__ import annotations

from .drawn import bead_pack, disc_with_holes, foam, random_ellipses
from .library import forbild_like, shepp_logan, shepp_logan_3d, tooth_like, water_disc
from .phantom import Phantom
from .shapes import Blob, Body, Ellipse, Ellipsoid, SuperEllipse

__all__ = [
    "Blob",
    "Body",
    "Ellipse",
    "Ellipsoid",
    "Phantom",
    "SuperEllipse",
    "bead_pack",
    "disc_with_holes",
    "foam",
    "forbild_like",
    "random_ellipses",
    "shepp_logan",
    "shepp_logan_3d",
    "tooth_like",
    "water_disc",
]
