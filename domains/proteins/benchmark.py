"""Rows of the benchmark: exactness of the geometry, real chains through every check, relaxation, and samples.

The rows of real chains are the scale on which samples are read. They need the cgdms chains, and are left out where
those are not on this computer; the Top8000 rows need its grids in `$SCIDIFF_DATA` as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from scidiff.domain import Row
from scidiff.random import Noise

from .backbone import build, build_frames
from .chains import Chains, frames_of
from .data import at_hand, load, select
from .ideal_chains import atom_by_atom, uniform_chain
from .intervals import wilson
from .ramachandran import own, top8000
from .relaxation_benchmark import relaxation_rows
from .sample_benchmark import sample_rows
from .superpose import lddt
from .symmetry import cyclic, dihedral_group, icosahedral, octahedral, screw, tetrahedral
from .tmalign import pair_tm
from .torsions import Internal, ideal, measure
from .validation import Report, validate

__all__ = ["random_backbones", "rows"]

_TM = Path(__file__).parent / "data" / "tm_pairs.json"


def random_backbones(count: int, length: int, seed: int) -> Internal:
    """Internal coordinates with uniform torsions, and angles uniform within 4 sd."""
    noise = Noise.range(seed, count)
    turn = (noise.uniform((length, 3), step=0, stream="bench/torsions") - 0.5) * 2 * torch.pi
    flat = ideal(turn, torch.ones(count, length, dtype=torch.bool))
    spread = noise.uniform((length, 3), step=0, stream="bench/angles") * 2 - 1
    return Internal(turn, flat.angles + 0.1 * spread, flat.bonds + 0.05 * spread.flip(-1), flat.mask)


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    yield from _exactness(seed)
    yield _speed(seed)
    yield from _symmetry(seed)
    if at_hand():
        held_out = select(load("valid", progress=False))
        yield from _real(held_out, fast)
        yield from _alignment(held_out, fast)
    yield from relaxation_rows(fast, seed)
    yield from sample_rows(fast, seed)
    if at_hand() and not fast:
        yield from _all_real(select(load("all", progress=False)))


def _small(name: str, value: float, bar: float, unit: str, note: str) -> Row:
    return Row(name, "exact", value, bar=bar, above=False, unit=unit, note=note)


def _exactness(seed: int) -> Iterator[Row]:
    """Round trips and the two ways of building."""
    internal = random_backbones(16, 100, seed)
    xyz, frames, origin = build_frames(internal)
    again = measure(xyz, internal.mask)
    rebuilt = build(again, frames[:, 0], origin[:, 0])
    note = "16 chains of 100 residues, uniform torsions, float64"
    yield _small("backbone round trip, coordinates", float((rebuilt - xyz).abs().max()), 1e-6, "Å", note)
    turn = torch.remainder(again.torsions - internal.torsions + torch.pi, 2 * torch.pi) - torch.pi
    yield _small("backbone round trip, torsions", float(turn[internal.known].abs().max()), 1e-9, "rad", note)
    yield _small("backbone against NeRF", float((atom_by_atom(internal) - xyz).abs().max()), 1e-9, "Å", note)
    yield _small("frames against Gram-Schmidt", float((frames_of(xyz)[0] - frames).abs().max()), 1e-9, "", note)


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Least time of some repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _speed(seed: int) -> Row:
    """Time to build against the atom-by-atom way."""
    internal = random_backbones(16, 100, seed)
    parallel, sequential = _seconds(lambda: build(internal), 5), _seconds(lambda: atom_by_atom(internal), 2)
    return Row(
        "seconds to build 16 chains of 100", "measured", parallel, unit="s", baseline=sequential,
        baseline_name="atom by atom (NeRF)", note="least of five, of two for the baseline, float64",
    )  # fmt: skip


def _symmetry(seed: int) -> Iterator[Row]:
    """Largest distance of a copy from where another element of the group carries it."""
    unit = uniform_chain(20).moved(torch.eye(3), torch.tensor([20.0, 5.0, 10.0]))
    groups = [cyclic(n) for n in range(2, 9)] + [dihedral_group(n) for n in range(2, 9)]
    groups += [tetrahedral(), octahedral(), icosahedral()]
    worst = 0.0
    for group in groups:
        copies = group.assemble(unit).xyz.flatten(1, 2)
        moved = group.orbit(copies)
        one, two = moved.flatten(2).flatten(0, 1), copies.flatten(1)
        apart = torch.cdist(one, two, compute_mode="donot_use_mm_for_euclid_dist").min(1).values
        # a distance over all atoms of a copy bounds that of its worst atom
        worst = max(worst, float(apart.max()))
    note = f"{len(groups)} groups: C2-C8, D2-D8, T, O, I; every element carries every copy onto a copy"
    yield _small("symmetry, worst copy", worst, 1e-4, "Å", note)
    helical = screw(4.8, 25.0, 12)
    copies = helical.assemble(unit).xyz
    moved = torch.einsum("ij,...j->...i", helical.rotations[1], copies[:-1]) + helical.shifts[1]
    yield _small("screw, worst copy", float((moved - copies[1:]).norm(dim=-1).max()), 1e-4, "Å", "12 copies")


def _share(name: str, good: torch.Tensor, note: str) -> Row:
    count, hits = len(good), int(good.sum())
    return Row(name, "measured", hits / count, wilson(hits, count), note=f"n = {count}; {note}")


def _real(chains: Chains, fast: bool) -> Iterator[Row]:
    """Held-out real chains through gates and rules, under own tables and under Top8000."""
    about = "compact chains of 40 to 80 residues of the validation list"
    reference = top8000()
    for table in (own(), *([] if reference is None else [reference])):
        report = validate(chains, table=table)
        kind = "Top8000" if table is reference else "own tables"
        yield _share(f"real chains through all gates, {kind}", report.passed, about)
        for name in ("favoured", "outliers", "favoured_general", "outliers_general"):
            yield _mean(f"real chains {name}, {kind}", report, name, about)
        if table is not reference:
            yield _share("real chains with valid local geometry", report.valid, about)
            for name, good in report.gates.items():
                if name != "ramachandran":
                    yield _share(f"real chains through gate {name}", good, about)
            for name in ("helix", "strand", "psea_helix", "psea_strand", "rg_ratio", "long_range"):
                yield _mean(f"real chains {name}", report, name, about)
            strands = report.numbers["strand"] >= 0.1
            yield _share("real chains with 10 % strand by hydrogen bonds", strands, about)
        if fast:
            return


def _all_real(chains: Chains) -> Iterator[Row]:
    """All compact chains through the gates: the same question with an interval of a third of the width."""
    about = "compact chains of 40 to 80 residues of both lists"
    for table in (own(), top8000()):
        if table is None:
            continue
        report = validate(chains, table=table)
        yield _share(f"all compact chains through all gates, {table.name}", report.passed, about)
        if table is own():
            yield _mean("all compact chains strand", report, "strand", about)


def _mean(name: str, report: Report, number: str, note: str) -> Row:
    """Mean of a number with its normal interval."""
    values = report.numbers[number].numpy()
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return Row(name, "measured", mean, (mean - half, mean + half), note=f"n = {len(values)}; {note}")


def _alignment(chains: Chains, fast: bool) -> Iterator[Row]:
    """TM-scores against recorded ones of the published program, lDDT against biotite."""
    recorded = json.loads(_TM.read_text(encoding="utf-8"))
    pairs = recorded["pairs"][: 12 if fast else None]
    place = {name: k for k, name in enumerate(chains.names)}
    one, two = (chains.take([place[pair[k]] for pair in pairs]) for k in (0, 1))
    found = pair_tm(one.ca, one.mask, two.ca, two.mask)
    want = torch.tensor([pair[2:] for pair in pairs], dtype=found.dtype)
    short = want - found
    note = f"{len(pairs)} pairs of held-out chains; {recorded['about']}"
    yield Row(
        "TM-score below the published program, mean", "measured", float(short.mean()), bar=0.03, above=False, note=note
    )
    yield Row("TM-score below the published program, worst", "measured", float(short.max()), unit="", note=note)
    yield _small("lDDT against biotite", _lddt_off(chains.take([0])), 1e-5, "", "one chain against a shaken copy")


def _lddt_off(chains: Chains) -> float:
    """Difference of two implementations of lDDT."""
    import biotite.structure as bs

    shaken = chains.ca + Noise.range(0, 1).normal(tuple(chains.ca.shape[1:]), step=0, stream="bench/lddt")
    arrays = []
    for ca in (chains.ca[0], shaken[0]):
        atoms = bs.AtomArray(len(ca))
        atoms.coord, atoms.res_id, atoms.chain_id = (
            ca.numpy().astype(np.float32),
            np.arange(len(ca)),
            np.full(len(ca), "A"),
        )
        arrays.append(atoms)
    return abs(float(lddt(shaken, chains.ca)) - float(bs.lddt(*arrays)))
