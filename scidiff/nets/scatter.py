"""Sums over the edges that end at a node, with ``index_add`` alone.

    sum_i = sum of v_e over the edges e with index_e = i

On a CPU the sum runs in the order of the edges and is the same in every run; on a GPU the order is not fixed, and
results agree to round-off.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["scatter_attention", "scatter_sum"]


def scatter_sum(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum the values of equal index.

    Parameters
    ----------
    values
        One row per edge, shape ``(edges, ...)``.
    index
        Row of the result that an edge adds to, int64, shape ``(edges,)``.
    size
        Number of rows of the result.

    Returns
    -------
    Tensor
        Shape ``(size, ...)``; 0 where no edge ends.
    """
    return values.new_zeros(size, *values.shape[1:]).index_add(0, index, values)


def scatter_attention(logits: Tensor, weight: Tensor, index: Tensor, size: int) -> Tensor:
    """Attention weights ``w_e exp(l_e) / (1 + sum_f w_f exp(l_f))`` over the edges of equal index.

    The 1 is the weight of attending to nothing. It makes the result a smooth function of ``w >= 0`` even where the last
    edge of a node fades out, which a plain softmax is not.

    Parameters
    ----------
    logits
        Shape ``(edges, heads)``.
    weight
        Weight of an edge, at least 0, shape ``(edges,)``.
    index, size
        As for `scatter_sum`.

    Returns
    -------
    Tensor
        Shape ``(edges, heads)``.
    """
    at = index.unsqueeze(1).expand_as(logits)
    top = logits.new_zeros(size, logits.shape[1]).scatter_reduce(0, at, logits.detach(), "amax")
    part = weight.unsqueeze(1) * (logits - top[index]).exp()
    total = (-top).exp() + scatter_sum(part, index, size)
    return part / total[index]
