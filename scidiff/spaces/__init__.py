"""Where states live: Euclidean, categorical and curved spaces, cochains on meshes, and products of them."""

from scidiff.spaces.base import Space
from scidiff.spaces.categorical import Categorical
from scidiff.spaces.centred import Centred, centre
from scidiff.spaces.cochain import Cochain
from scidiff.spaces.euclidean import Euclidean
from scidiff.spaces.flat import Flat
from scidiff.spaces.graphs import DenseGraphs, from_pyg, to_pyg
from scidiff.spaces.hyperbolic import Hyperbolic
from scidiff.spaces.linear import LinearOperator, MatrixOperator, Selection
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.power import Power, ProductManifold, se3
from scidiff.spaces.product import Product, State, first, state_map
from scidiff.spaces.scaled import Scaled, average_distortion, worst_distortion
from scidiff.spaces.simplex import Simplex
from scidiff.spaces.so3 import SO3
from scidiff.spaces.spd import SPDAffineInvariant, SPDLogEuclidean
from scidiff.spaces.sphere import Sphere
from scidiff.spaces.surface import MeshSurface
from scidiff.spaces.torus import Torus

__all__ = [
    "SO3",
    "Categorical",
    "Cochain",
    "Centred",
    "DenseGraphs",
    "Euclidean",
    "Flat",
    "Hyperbolic",
    "LinearOperator",
    "Manifold",
    "MatrixOperator",
    "MeshSurface",
    "Power",
    "Product",
    "ProductManifold",
    "SPDAffineInvariant",
    "SPDLogEuclidean",
    "Scaled",
    "Selection",
    "Simplex",
    "Space",
    "Sphere",
    "State",
    "Torus",
    "average_distortion",
    "centre",
    "first",
    "from_pyg",
    "se3",
    "state_map",
    "to_pyg",
    "worst_distortion",
]
