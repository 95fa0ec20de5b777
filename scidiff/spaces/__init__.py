"""Where states live: Euclidean, categorical and product spaces."""

from scidiff.spaces.base import Space
from scidiff.spaces.categorical import Categorical
from scidiff.spaces.euclidean import Euclidean
from scidiff.spaces.product import Product, State, first, state_map

__all__ = ["Categorical", "Euclidean", "Product", "Space", "State", "first", "state_map"]
