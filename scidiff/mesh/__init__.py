"""Triangulated surfaces and their cochains."""

from scidiff.mesh.complex import SimplicialComplex
from scidiff.mesh.laplacian import HodgeLaplacian
from scidiff.mesh.repair import weld
from scidiff.mesh.shapes import annulus, bumpy_sphere, double_torus, icosphere, square, torus
from scidiff.mesh.spectrum import Spectrum, spectrum
from scidiff.mesh.stars import StarReport, Stars, barycentric_stars, cotangent_stars, whitney_stars

__all__ = [
    "HodgeLaplacian",
    "SimplicialComplex",
    "Spectrum",
    "StarReport",
    "Stars",
    "annulus",
    "barycentric_stars",
    "bumpy_sphere",
    "cotangent_stars",
    "double_torus",
    "icosphere",
    "spectrum",
    "square",
    "torus",
    "weld",
    "whitney_stars",
]
