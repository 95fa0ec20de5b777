"""Claims of the loop itself: what it costs beside the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from scidiff.bench.core.check import Claim
from scidiff.denoise import Denoiser
from scidiff.nets.graph_transformer import GraphTransformer, GraphTransformerConfig
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise
from scidiff.sample import TableRule, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE

__all__ = ["claims"]

_BATCH, _STEPS, _RUNS = 256, 10, 3
_WHY = "median of three runs of UniPC-3, ten steps; float64 state, float32 network; processor time of the thread"


def claims() -> Iterator[Claim]:
    """Yield the claims of the loop."""
    yield Claim(
        "loop/share of time outside a graph transformer, 1 M parameters, 9 nodes, batch 256",
        "exact",
        lambda seed: _overhead(_Graphs(), (9, 8), seed),
        truth=0,
        tolerance=0.05,
        why=_WHY,
        calls=_STEPS,
        full=True,
    )
    yield Claim(
        "loop/share of time outside a perceptron, 1 M parameters, 64 dimensions, batch 256",
        "measured",
        lambda seed: _overhead(_perceptron(64, 672), (64,), seed),
        why=_WHY + "; the fastest network of this size there is, shown without a bar",
        calls=_STEPS,
    )


class _Graphs(nn.Module):
    """Graph transformer on complete graphs of nine nodes with eight real features each."""

    def __init__(self) -> None:
        super().__init__()
        config = GraphTransformerConfig()
        self.inward, self.outward = nn.Linear(8, config.width), nn.Linear(config.width, 8)
        self.trunk = GraphTransformer(config)
        self.pairs = nn.Parameter(torch.zeros(36, config.pair_width))

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        h, _ = self.trunk(self.inward(x), self.pairs.expand(len(x), -1, -1), mask)
        return self.outward(h)


def _perceptron(dim: int, width: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((dim, width), (width, width), (width, width)):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(width, dim))


def _overhead(network: Callable[[Tensor], Tensor], shape: tuple[int, ...], seed: int) -> float:
    """Median over runs of the time outside the network over that inside."""
    spent = [0.0]

    def function(x: Tensor, t: Tensor, condition: None) -> Tensor:
        begun = time.thread_time()
        m = network(x.float()).double()
        spent[0] += time.thread_time() - begun
        return m

    rule = TableRule(unipc(VE, log_snr_grid(VE, _STEPS), order=3))
    process, shares = GaussianProcess(Euclidean(shape), VE), []
    for _ in range(_RUNS):
        spent[0], begun = 0.0, time.thread_time()
        run(Denoiser(function, Kind.MEAN), process, rule, rule.plan, noise=Noise.range(seed, _BATCH), shape=shape)
        shares.append((time.thread_time() - begun - spent[0]) / spent[0])
    return float(torch.tensor(shares).median())
