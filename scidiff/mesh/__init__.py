"""Triangulated surfaces and their cochains: operators, spectra, decompositions, files and pictures."""

from scidiff.mesh.chebyshev import Chebyshev, chebyshev_coefficients
from scidiff.mesh.complex import SimplicialComplex
from scidiff.mesh.draw import draw_edges, draw_points, draw_scalar, whitney_vectors
from scidiff.mesh.files import read_mesh, write_mesh
from scidiff.mesh.hodge import HodgeDecomposition, HodgeParts
from scidiff.mesh.hodge_chebyshev import HodgeChebyshev, HodgeCoefficients
from scidiff.mesh.laplacian import HodgeLaplacian
from scidiff.mesh.premetric import Premetric, biharmonic, diffusion, spectral_map
from scidiff.mesh.repair import weld
from scidiff.mesh.rough import neighbour_degrees, rough_noise
from scidiff.mesh.shapes import annulus, bumpy_sphere, double_torus, icosphere, square, torus
from scidiff.mesh.spectrum import Spectrum, spectrum
from scidiff.mesh.stars import StarReport, Stars, barycentric_stars, cotangent_stars, whitney_stars
from scidiff.mesh.surface_points import SurfacePoints

__all__ = [
    "Chebyshev",
    "HodgeChebyshev",
    "HodgeCoefficients",
    "HodgeDecomposition",
    "HodgeLaplacian",
    "HodgeParts",
    "Premetric",
    "SimplicialComplex",
    "Spectrum",
    "StarReport",
    "Stars",
    "SurfacePoints",
    "annulus",
    "barycentric_stars",
    "biharmonic",
    "bumpy_sphere",
    "chebyshev_coefficients",
    "cotangent_stars",
    "diffusion",
    "double_torus",
    "draw_edges",
    "draw_points",
    "draw_scalar",
    "icosphere",
    "neighbour_degrees",
    "read_mesh",
    "rough_noise",
    "spectral_map",
    "spectrum",
    "square",
    "torus",
    "weld",
    "whitney_stars",
    "whitney_vectors",
    "write_mesh",
]
