"""Which strands pair with which: bridges of chains, residue by residue.

A bridge joins residues ``i`` and ``j``, ``|i - j| >= 3``, by two hydrogen bonds; in the notation of `secondary`,
``(i, j)`` says C=O of ``i`` to N-H of ``j``:

    parallel        (i-1, j)(j, i+1)   or   (j-1, i)(i, j+1)
    antiparallel    (i, j)(j, i)       or   (i-1, j+1)(j-1, i+1)

The map of a chain is symmetric and holds `NONE`, `PARALLEL` or `ANTI`; as a condition, `UNKNOWN_PAIR` as well.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..chains import Chains
from ..secondary import HELIX, assign, hydrogen_bonds

__all__ = ["ANTI", "NONE", "PARALLEL", "UNKNOWN_PAIR", "UNKNOWN_STATE", "bridges"]

NONE, PARALLEL, ANTI, UNKNOWN_PAIR = 0, 1, 2, 3
UNKNOWN_STATE = 3
"""Beside `COIL`, `HELIX` and `STRAND`: nothing is asked of the residue."""
_CUT = -0.5


def bridges(chains: Chains) -> Tensor:
    """Map of bridges, int64, shape ``(batch, length, length)``; residues in helices have none."""
    bond = hydrogen_bonds(chains) < _CUT
    size = bond.shape[-1]
    wide = F.pad(bond, (1, 1, 1, 1))

    def at(rows: int, columns: int) -> Tensor:
        """``bond[i + rows, j + columns]``."""
        return wide[:, 1 + rows : 1 + rows + size, 1 + columns : 1 + columns + size]

    back = wide.transpose(1, 2)

    def turned(rows: int, columns: int) -> Tensor:
        """``bond[j + columns, i + rows]``."""
        return back[:, 1 + rows : 1 + rows + size, 1 + columns : 1 + columns + size]

    parallel = (at(-1, 0) & turned(1, 0)) | (turned(0, -1) & at(0, 1))
    anti = (bond & bond.transpose(1, 2)) | (at(-1, 1) & turned(1, -1))
    place = torch.arange(size, device=bond.device)
    apart = (place.unsqueeze(1) - place).abs() >= 3
    helix = assign(chains) == HELIX
    open_pair = apart & ~helix.unsqueeze(1) & ~helix.unsqueeze(2)
    found = torch.where(parallel, PARALLEL, torch.where(anti, ANTI, NONE))
    return torch.where(open_pair, torch.maximum(found, found.transpose(1, 2)), NONE)
