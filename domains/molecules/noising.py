"""The noising law of molecular graphs.

Atoms follow a tree: clean token -> chemical group -> mask, with survivals ``a = 1 - t`` and ``b = 1 - t^2`` [1]_. Bonds
follow the uniform kernel with ``a = 1 - t``: masking bonds sends different molecules to one state and breaks the
symmetry that a factorised denoiser needs [2]_.

References
----------
.. [1] MolHIT, arXiv:2602.17602
.. [2] MELD, arXiv:2505.16790
"""

from __future__ import annotations

from scidiff.process.base import ProductProcess
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import tree, uniform
from scidiff.process.survival import Linear, Power
from scidiff.spaces import Categorical

from .vocabulary import Bond, Vocabulary

__all__ = ["graph_process"]


def graph_process(vocabulary: Vocabulary) -> ProductProcess:
    """Process on ``{"atoms", "bonds"}`` for the tokens and groups of a vocabulary."""
    atoms = tree(vocabulary.groups, survivals=(Linear(), Power(2.0)))
    bonds = uniform(len(Bond), Linear())
    return ProductProcess(
        {
            "atoms": DiscreteProcess(Categorical(atoms.states, (None,)), atoms),
            "bonds": DiscreteProcess(Categorical(bonds.states, (None,)), bonds),
        }
    )
