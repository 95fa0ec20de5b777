"""Claims of the loop itself: what it costs beside the network."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from scidiff.bench.core.check import Claim
from scidiff.denoise import Denoiser
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise
from scidiff.sample import TableRule, log_snr_grid, run, unipc
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE

__all__ = ["claims"]

_BATCH, _DIM, _WIDTH, _STEPS = 256, 64, 672, 20


def claims() -> Iterator[Claim]:
    """Yield the claims of the loop."""
    yield Claim(
        "loop/time outside the network over time in it, 1 M parameters, batch 256",
        "exact",
        _overhead,
        truth=0,
        tolerance=0.05,
        why="median of five runs of UniPC-3 in 64 dimensions; float64 state, float32 network; processor time of the thread",
        calls=_STEPS,
    )


def _overhead(seed: int) -> float:
    """Median over runs of the share of time spent outside the network."""
    torch.manual_seed(seed)
    layers = [nn.Linear(_DIM, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU()]
    network = nn.Sequential(*layers, nn.Linear(_WIDTH, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _DIM))
    spent = [0.0]

    def function(x: Tensor, t: Tensor, condition: None) -> Tensor:
        begun = time.thread_time()
        m = network(x.float()).double()
        spent[0] += time.thread_time() - begun
        return m

    rule = TableRule(unipc(VE, log_snr_grid(VE, _STEPS), order=3))
    process, shares = GaussianProcess(Euclidean((_DIM,)), VE), []
    noise = Noise.range(seed, _BATCH)
    for _ in range(5):
        spent[0], begun = 0.0, time.thread_time()
        run(Denoiser(function, Kind.MEAN), process, rule, rule.plan, noise=noise, shape=(_DIM,))
        shares.append((time.thread_time() - begun - spent[0]) / spent[0])
    return float(torch.tensor(shares).median())
