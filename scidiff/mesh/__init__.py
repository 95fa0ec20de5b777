"""Triangulated surfaces and their cochains: operators, spectra, decompositions, files and pictures."""

from scidiff.mesh.chebyshev import Chebyshev, chebyshev_coefficients
from scidiff.mesh.complex import SimplicialComplex
from scidiff.mesh.draw import draw_edges, draw_scalar, whitney_vectors
from scidiff.mesh.files import read_mesh, write_mesh
from scidiff.mesh.hodge import HodgeDecomposition, HodgeParts
from scidiff.mesh.laplacian import HodgeLaplacian
from scidiff.mesh.repair import weld
from scidiff.mesh.shapes import annulus, bumpy_sphere, double_torus, icosphere, square, torus
from scidiff.mesh.spectrum import Spectrum, spectrum
from scidiff.mesh.stars import StarReport, Stars, barycentric_stars, cotangent_stars, whitney_stars

__all__ = [
    "Chebyshev",
    "HodgeDecomposition",
    "HodgeLaplacian",
    "HodgeParts",
    "SimplicialComplex",
    "Spectrum",
    "StarReport",
    "Stars",
    "annulus",
    "barycentric_stars",
    "bumpy_sphere",
    "chebyshev_coefficients",
    "cotangent_stars",
    "double_torus",
    "draw_edges",
    "draw_scalar",
    "icosphere",
    "read_mesh",
    "spectrum",
    "square",
    "torus",
    "weld",
    "whitney_stars",
    "whitney_vectors",
    "write_mesh",
]
