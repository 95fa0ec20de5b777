"""Where states live: Euclidean, centred, categorical and product spaces."""

from scidiff.spaces.base import Space
from scidiff.spaces.categorical import Categorical
from scidiff.spaces.centred import Centred, centre
from scidiff.spaces.euclidean import Euclidean
from scidiff.spaces.product import Product, State, first, state_map

__all__ = ["Categorical", "Centred", "Euclidean", "Product", "Space", "State", "centre", "first", "state_map"]
