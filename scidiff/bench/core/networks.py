"""Claims of the networks on point clouds: they commute with what they declare, in both precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch

from scidiff.bench.core.check import Claim
from scidiff.nets.egnn import EGNN, EGNNConfig
from scidiff.nets.equivariant import EquivariantNetwork
from scidiff.nets.motions import equivariance_errors
from scidiff.nets.tensor_transformer import TensorTransformer, TensorTransformerConfig

__all__ = ["claims"]

_NETS: dict[str, Callable[[], EquivariantNetwork]] = {
    "EGNN": lambda: EGNN(EGNNConfig(features=3, scalars=2, layers=3, width=16)),
    "tensor transformer, l = 2, O(3)": lambda: TensorTransformer(
        TensorTransformerConfig(features=3, scalars=2, layers=2, widths=(16, 8, 4), heads=2, reflections=True)
    ),
    "tensor transformer, l = 2, SO(3)": lambda: TensorTransformer(
        TensorTransformerConfig(features=3, scalars=2, layers=2, widths=(16, 8, 4), heads=2, reflections=False)
    ),
}
_BARS = {torch.float64: 1e-10, torch.float32: 1e-4}
_WHY = "largest error over the size of the output; round-off of a few layers, with room for sums over neighbours"


def claims() -> Iterator[Claim]:
    """Yield the claims of the networks."""
    for name in _NETS:
        for dtype, bar in _BARS.items():
            width = str(dtype).removeprefix("torch.")
            for kind, motions in (("rotation and shift", ("rotation", "shift")), ("order and form", _LAYOUTS)):
                yield Claim(
                    f"equivariance/{name}/{kind}, {width}",
                    "exact",
                    lambda seed, name=name, dtype=dtype, motions=motions: max(
                        _errors(name, dtype, seed)[motion] for motion in motions
                    ),
                    truth=0,
                    tolerance=bar,
                    why=_WHY,
                    full=name != "EGNN",
                )
        declared = not name.endswith(" SO(3)")
        yield Claim(
            f"equivariance/{name}/reflection",
            "exact" if declared else "biased",
            lambda seed, name=name: _errors(name, torch.float64, seed)["reflection"],
            truth=0 if declared else None,
            tolerance=_BARS[torch.float64] if declared else None,
            least=None if declared else 1e-6,
            full=name != "EGNN",
            why=_WHY if declared else "rotations only are declared, so that mirror images may differ, and do",
        )


_LAYOUTS = ("permutation", "values of padding", "more padding", "sparse form")


@cache
def _errors(name: str, dtype: torch.dtype, seed: int) -> dict[str, float]:
    """Errors of a network with random weights on four clouds of up to six points."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _NETS[name]().to(dtype).eval()
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        x, h = torch.randn(4, 6, 3, dtype=torch.float64).to(dtype), torch.randn(4, 6, 3, dtype=torch.float64).to(dtype)
        t = torch.rand(4, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([6, 4, 1, 5]).unsqueeze(1)
    return equivariance_errors(network, x, h, t, mask, seed=seed)
