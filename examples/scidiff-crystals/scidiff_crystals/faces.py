"""What the package shows: rows of a benchmark, a section of the demonstration, a part in campaigns."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.domain import CampaignAdapter, Candidates, DemoSection, Picture, Row
from scidiff.random import Noise

from .commands import wilson
from .crystals import KT, SPACE, certify, distances, draw_cells, energy
from .model import CrystalModel, CrystalTask, load

__all__ = ["CAMPAIGN", "demo", "random_search", "rows"]


def random_search(count: int, seed: int, *, steps: int = 200, rate: float = 0.05, longest: float = 0.1) -> Tensor:
    """Descend from uniform atoms, one force each step: ab initio random structure searching, arXiv:1101.3987."""
    x = SPACE.uniform(Noise.range(seed, count), SPACE.shape, step=0, stream="search")
    for _ in range(steps):
        x.requires_grad_()
        move = rate * torch.autograd.grad(energy(x).sum(), x)[0]
        x = SPACE.project(x.detach() - move * (longest / move.norm(dim=-1, keepdim=True).clamp_min(longest)))
    return x


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """How often cells are crystals, how warm these are, where atoms stand, and how well the flow is learned."""
    count, begun = (200 if fast else 2000), time.perf_counter()
    drawn = load().sample(count, seed=seed)
    seconds, note = time.perf_counter() - begun, f"n = {count}, seed {seed}"
    good, cells = int(drawn.ok.sum()), 2 * math.pi * torch.tensor(np.stack(drawn.items))
    search = {forces: certify(random_search(count, seed, steps=forces)) for forces in (20, 200)}
    share = {forces: float(found.valid.double().mean()) for forces, found in search.items()}
    yield Row(
        "valid, 20 steps", "measured", good / count, wilson(good, count), bar=0.65, baseline=share[20],
        baseline_name="random search, 20 forces", calls=20, seconds=seconds,
        note=f"{note}; random search that may ask for 200 forces: {share[200]:.3f}, all at rest",
    )  # fmt: skip
    salt = int((drawn.records["phase"][drawn.ok] == "rock salt").sum())
    yield Row(
        "rock salt among valid cells", "measured", salt / good, wilson(salt, good), baseline=0.5,
        baseline_name="law of the data",
        note=f"{note}; random search, 200 forces: {search[200].phase.count('rock salt') / count:.3f}",
    )  # fmt: skip
    data, uniform = draw_cells(count, seed), SPACE.uniform(Noise.range(seed, count), (8, 3), step=0, stream="uniform")
    heat, true = drawn.records["excess"][drawn.ok] / KT, certify(data)
    mean, spread = float(heat.mean()), 1.96 * float(heat.std()) / good**0.5
    yield Row(
        "excess energy of valid cells", "measured", mean, (mean - spread, mean + spread),
        baseline=float(true.excess[true.valid].mean()) / KT, baseline_name="drawn crystals", unit="kT",
        note=f"{note}; the harmonic crystal has 10.5",
    )  # fmt: skip
    apart, apart_uniform = _transport(cells, data), _transport(uniform, data)
    yield Row(
        "distances of pairs, Wasserstein-1", "measured", apart, bar=apart_uniform / 4, above=False,
        baseline=apart_uniform, baseline_name="uniform atoms", unit="cell edges", note=note,
    )  # fmt: skip
    told = CrystalTask(load().network, rows=2).validate(load().network, count)
    yield Row(
        "squared error of the velocity, held out", "measured", told["held_out"], bar=told["zero"] / 2, above=False,
        baseline=told["zero"], baseline_name="velocity 0", unit="rad^2", note=note,
    )  # fmt: skip


def _transport(x: Tensor, y: Tensor) -> float:
    """Wasserstein-1 distance of the laws of the distances of neighbours, both of as many cells."""
    a, b = (distances(each).amin(-1).flatten().sort().values for each in (x, y))
    return float((a - b).abs().mean())


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Four cells as a picture, and the rows."""
    import matplotlib.pyplot as plt

    begun, drawn = time.perf_counter(), load().sample(4, seed=seed)
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), subplot_kw={"projection": "3d"})
    for axis, cell, phase, fine in zip(axes, drawn.items, drawn.records["phase"], drawn.ok, strict=True):
        moved = (cell - cell[0] + 0.1) % 1.0
        axis.scatter(*moved[:4].T, s=120)
        axis.scatter(*moved[4:].T, s=60)
        axis.set_title(phase if fine else "none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    picture = Picture("Four cells, moved so that an A atom is near a corner; A atoms large.", buffer.getvalue())
    lead = "Polymorphs of an AB salt, drawn by an equivariant flow on the torus; every cell has a certificate."
    return DemoSection(
        "Crystals", lead, tuple(rows(True, seed)), (picture,),
        ("scidiff crystals sample --count 4 --out cells.json",), calls=20, seconds=time.perf_counter() - begun,
    )  # fmt: skip


def _fingerprint(model: str) -> str:
    return str(load(model).card["sha256"])


def _candidates(model: CrystalModel, condition: Mapping[str, Any], indices: range, steps: int, seed: int) -> Candidates:
    drawn = model.sample(len(indices), steps=steps, seed=seed, first=indices.start)
    reason = ["" if fine else "no crystal within tolerance" for fine in drawn.ok]
    columns = {"cell": drawn.items, "phase": list(drawn.records["phase"])}
    for name in ("displacement", "excess", "contact"):
        columns[name] = drawn.records[name]
    return Candidates([status.value for status in drawn.status], reason, columns)


CAMPAIGN = CampaignAdapter(
    fingerprint=_fingerprint,
    load=lambda model, device: load(model),
    sample=_candidates,
    scores={"warmth": lambda columns: [float(value) / KT for value in columns["excess"]]},
    group="phase",
)
