"""Rows on relaxation and loop closure, which need no model: a helix with faults, random loops, and real chains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from scidiff.domain import Row
from scidiff.random import Noise

from .backbone import build
from .chains import Chains
from .contacts import atom_clashes
from .data import at_hand, load, select
from .ideal_chains import uniform_chain
from .intervals import wilson
from .repair import relax, relaxed
from .scaffolding.closure import Kept, close
from .torsions import measure

__all__ = ["bent", "relaxation_rows"]

_MOVED = 0.5
_SECONDS = 0.5


def bent(chains: Chains, degrees: float, seed: int) -> Chains:
    """Chains with noise on phi and psi."""
    internal = measure(chains.xyz, chains.mask)
    noise = Noise.range(seed, len(chains)).normal(tuple(internal.torsions[0, :, :2].shape), step=0, stream="bench/bent")
    torsions = internal.torsions.clone()
    torsions[..., :2] += torch.deg2rad(degrees * noise).to(torsions)
    xyz = build(replace(internal, torsions=torsions))
    return replace(chains, xyz=torch.where(chains.mask[..., None, None], xyz, 0.0))


def relaxation_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    yield from _closure(seed)
    if not at_hand():
        return
    chains = select(load("valid", progress=False))
    yield from _real(chains.take(range(8)) if fast else chains, seed)


def _closure(seed: int) -> Iterator[Row]:
    """Loops of bent chains closed on three kept segments."""
    chain = uniform_chain(48)
    chains = Chains.cat([bent(chain, 8.0, seed + k) for k in range(4)])
    group = torch.zeros(4, 48, dtype=torch.int64)
    group[:, 5:12] = group[:, 20:28] = group[:, 36:42] = 1
    kept = Kept(group, chain.xyz.expand(4, -1, -1, -1).double())
    done = close(measure(chains.xyz.double(), chains.mask), kept)
    note = "4 chains of 48 residues bent by 8 degrees, three kept segments of one body"
    yield Row(
        "loop closure, worst atom", "measured", float(done.error.max()), bar=1e-3, above=False, unit="Å", note=note
    )


def _real(chains: Chains, seed: int) -> Iterator[Row]:
    """Held-out chains relaxed as they are, and after noise on their torsions."""
    about = f"n = {len(chains)} held-out compact chains"
    begun = time.process_time()
    relaxed(chains)
    seconds = (time.process_time() - begun) / len(chains)
    yield Row("relaxation, CPU seconds a chain", "measured", seconds, bar=_SECONDS, above=False, unit="s", note=about)
    done = relax(chains)
    median = float(done.moved.median())
    yield Row(
        "relaxation, CA of real chains moved, median", "measured", median, bar=_MOVED, above=False, unit="Å", note=about
    )
    hits = int((done.moved < _MOVED).sum())
    yield Row(
        "relaxation, real chains moved by less than 0.5 Å", "measured", hits / len(chains), wilson(hits, len(chains)),
        note=about,
    )  # fmt: skip
    before, after = done.raw_report.gates_together(), done.report.gates_together()
    yield Row(
        "relaxed real chains through all gates", "measured", after["value"], tuple(after["interval"]),
        bar=before["value"], baseline=before["value"], baseline_name="the same chains before", note=about,
    )  # fmt: skip
    noisy = bent(chains, 10.0, seed)
    mended = relax(noisy)
    clashes = float(atom_clashes(mended.chains).double().mean())
    yield Row(
        "bent real chains, heavy-atom clashes after relaxation", "measured", clashes,
        baseline=float(atom_clashes(noisy).double().mean()), baseline_name="before", note=f"{about}; 10 degrees",
    )  # fmt: skip
    gates = mended.report.gates_together()
    yield Row(
        "bent real chains through all gates after relaxation", "measured", gates["value"], tuple(gates["interval"]),
        baseline=float(mended.raw_report.passed.double().mean()), baseline_name="before", note=f"{about}; 10 degrees",
    )  # fmt: skip
