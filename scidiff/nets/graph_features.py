"""Features of graphs that other packages compute graph by graph, for dense batches at once.

With the 0/1 adjacency ``A`` of a graph, its degrees ``d`` and ``P = D^-1 A``, whose row is 0 at a node without edges:

    return_probabilities   (P^k)_ii,  k = 1 ... steps          the random-walk encoding of torch-geometric [1]_
    relative_walks         (P^k)_ij,  k = 0 ... steps - 1      RRWP [2]_
    laplacian_modes        eigenvectors of L = I - D^-1/2 A D^-1/2 above the lowest one, up to signs [3]_
    cycle_counts           cycles of 3, 4 and 5 nodes through each node [4]_

The counts are numbers of closed walks ``w_k = diag(A^k)`` less those that are no cycles: on edges only, round a
triangle, or round a triangle with a detour along an edge at one of its nodes. With ``*`` entrywise,

    c_3 = w_3 / 2
    c_4 = (w_4 - d (d - 1) - A d) / 2
    c_5 = (w_5 + 5 w_3 - 2 w_3 d - 2 (A * A^2) d - A w_3) / 2

so that a graph has ``sum c_k / k`` cycles of length `k`. Everything is float64; padded nodes have zeros.

References
----------
.. [1] V. P. Dwivedi et al., "Graph Neural Networks with Learnable Structural and Positional Representations",
   arXiv:2110.07875
.. [2] L. Ma et al., "Graph Inductive Biases in Transformers without Message Passing", arXiv:2305.17589
.. [3] V. P. Dwivedi et al., "Benchmarking Graph Neural Networks", arXiv:2003.00982
.. [4] C. Vignac et al., "DiGress", arXiv:2209.14734, appendix B
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.spaces.graphs import DenseGraphs, Selection, bonded, pair_ends

__all__ = ["adjacency", "cycle_counts", "laplacian_modes", "relative_walks", "return_probabilities"]

_ABOVE = 4.0


def adjacency(graphs: DenseGraphs, listed: Selection = bonded) -> Tensor:
    """Adjacency matrices, float64, shape ``(batch, n, n)``, symmetric and 0 on the diagonal.

    Parameters
    ----------
    graphs
        The graphs.
    listed
        Which pairs are edges; by default those with a value.
    """
    batch, n = graphs.mask.shape
    i, j = pair_ends(n, graphs.mask.device)
    value = (listed(graphs) & graphs.pairs).double()
    a = value.new_zeros(batch, n, n)
    a[:, i, j] = value
    a[:, j, i] = value
    return a


def _walk(a: Tensor) -> Tensor:
    """One step of the random walk, ``D^-1 A``."""
    return a / a.sum(-1, keepdim=True).clamp(min=1.0)


def _check(steps: int, name: str) -> None:
    if steps < 1:
        raise ConfigError(f"{name} is {steps}; expected at least 1")


def return_probabilities(graphs: DenseGraphs, steps: int) -> Tensor:
    """Probability that a random walk is back at its node after 1, 2, ... `steps` steps.

    Two halves of a walk join by ``(P^(a+b))_ii = sum_j (P^a)_ij (P^b)_ji``, half of the powers are enough.

    Parameters
    ----------
    graphs
        The graphs.
    steps
        Length of the longest walk.

    Returns
    -------
    Tensor
        Shape ``(batch, n, steps)``.

    Raises
    ------
    ConfigError
        If `steps` is below 1.
    """
    _check(steps, "steps")
    p = _walk(adjacency(graphs))
    powers = [p]
    for _ in range((steps + 1) // 2 - 1):
        powers.append(powers[-1] @ p)
    found = [power.diagonal(dim1=1, dim2=2) for power in powers]
    flipped = [power.transpose(1, 2) for power in powers]
    for k in range(len(powers) + 1, steps + 1):
        found.append((powers[k // 2 + k % 2 - 1] * flipped[k // 2 - 1]).sum(-1))
    return torch.stack(found, -1)


def relative_walks(graphs: DenseGraphs, steps: int) -> Tensor:
    """Probability that a random walk leads from one node to another in 0, 1, ... ``steps - 1`` steps.

    Parameters
    ----------
    graphs
        The graphs.
    steps
        Number of powers, the identity among them.

    Returns
    -------
    Tensor
        Shape ``(batch, n, n, steps)``; rows of padded nodes are 0.

    Raises
    ------
    ConfigError
        If `steps` is below 1.
    """
    _check(steps, "steps")
    p = _walk(adjacency(graphs))
    powers = [torch.diag_embed(graphs.mask.double())]
    for _ in range(steps - 1):
        powers.append(powers[-1] @ p)
    return torch.stack(powers, -1)


def laplacian_modes(graphs: DenseGraphs, modes: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the normalised Laplacian, in rising order, without the lowest one.

    A sign of each vector, and a rotation of vectors with one eigenvalue, is arbitrary: a model that reads them should
    not depend on it.

    Parameters
    ----------
    graphs
        The graphs.
    modes
        Number of modes.

    Returns
    -------
    values, vectors
        Shapes ``(batch, modes)`` and ``(batch, n, modes)``; 0 where a graph has fewer than ``modes + 1`` nodes.

    Raises
    ------
    ConfigError
        If `modes` is below 1.
    """
    _check(modes, "modes")
    a = adjacency(graphs)
    degree = a.sum(-1)
    scale = torch.where(degree > 0, degree.clamp(min=1.0).rsqrt(), 0.0)
    # eigenvalues of L are at most 2: those of padded nodes come last
    diagonal = torch.where(graphs.mask, 1.0, _ABOVE).double()
    values, vectors = torch.linalg.eigh(torch.diag_embed(diagonal) - scale.unsqueeze(-1) * a * scale.unsqueeze(-2))
    short = modes + 1 - values.shape[-1]
    if short > 0:
        values, vectors = (torch.nn.functional.pad(part, (0, short)) for part in (values, vectors))
    there = torch.arange(1, modes + 1, device=a.device) < graphs.mask.sum(1, keepdim=True)
    return values[:, 1 : modes + 1] * there, vectors[:, :, 1 : modes + 1] * there.unsqueeze(1)


def cycle_counts(graphs: DenseGraphs) -> Tensor:
    """Number of cycles of 3, 4 and 5 nodes through each node.

    Parameters
    ----------
    graphs
        The graphs.

    Returns
    -------
    Tensor
        Shape ``(batch, n, 3)``, float64 whole numbers.
    """
    a = adjacency(graphs)
    a2 = a @ a
    degree, w3 = a.sum(-1), (a2 * a).sum(-1)
    w4, w5 = a2.square().sum(-1), ((a2 @ a2) * a).sum(-1)
    c4 = w4 - degree * (degree - 1) - (a @ degree.unsqueeze(-1)).squeeze(-1)
    detours = 2 * (a2 * a) @ degree.unsqueeze(-1) + a @ w3.unsqueeze(-1)
    c5 = w5 + 5 * w3 - 2 * w3 * degree - detours.squeeze(-1)
    return torch.stack([w3, c4, c5], -1) / 2
