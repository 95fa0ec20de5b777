"""The section of the demonstration: chains drawn by the bundled model, a symmetric assembly, and checks of both."""

from __future__ import annotations

import time
from pathlib import Path

from scidiff.domain import DemoSection, Picture, Row

from .benchmark import rows as bench_rows
from .data import at_hand, load, select
from .ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, from_degrees
from .pictures import ribbon_png
from .symmetry import parse_symmetry
from .validation import validate
from .writers import write

__all__ = ["demo"]

_SHOWN = ("backbone round trip, coordinates", "backbone against NeRF", "symmetry, worst copy", "screw, worst copy")


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Build, check and draw; files go into `folder`."""
    begun = time.perf_counter()
    loop = [(-60.0, -30.0), (-90.0, 0.0), (70.0, 30.0), (-120.0, 130.0)]
    unit = from_degrees([HELIX_TORSIONS] * 14 + loop + [STRAND_TORSIONS] * 6)
    unit = unit.moved(*_away())
    assembly = parse_symmetry("D3").assemble(unit)
    write(folder / "assembly.cif", assembly, {"symmetry": "D3", "seed": seed})
    rows = [row for row in _geometry(seed) if row.name in _SHOWN]
    pictures = [
        Picture("One unit, a helix and an extended arm, built from torsions; six copies make D3.", ribbon_png(unit))
    ]
    drawn = _drawn(folder, seed, fast)
    if drawn is not None:
        rows += drawn[0]
        pictures.insert(0, drawn[1])
    if at_hand():
        real = select(load("valid", progress=False)).take(range(4 if fast else 8))
        report = validate(real)
        rows.append(Row("real chains: valid local geometry", "measured", float(report.valid.double().mean())))
        pictures.append(Picture("Held-out real chains, drawn by hydrogen bonds.", ribbon_png(real)))
    return DemoSection(
        title="Proteins",
        lead=(
            ("Chains drawn by the bundled model are closed, relaxed and judged. " if drawn is not None else "")
            + "Backbones are built from torsions by one parallel scan: bonds and angles are exact, and a symmetric "
            "assembly is the orbit of its unit. Every chain is checked against what real chains show."
        ),
        rows=tuple(rows),
        pictures=tuple(pictures),
        commands=("scidiff proteins sample --count 8 --out chains", "scidiff proteins validate assembly.cif"),
        seconds=time.perf_counter() - begun,
    )


def _drawn(folder: Path, seed: int, fast: bool) -> tuple[list[Row], Picture] | None:
    """Chains of the bundled model, with their report; None where none is bundled."""
    from .sample_command import write_chains
    from .torsion.model import bundled, load

    if "chains" not in bundled():
        return None
    samples = load("chains").sample(4 if fast else 8, length=64, steps=20, seed=seed)
    chains = samples.chains
    write_chains(folder / "chains", chains, {"seed": seed, "model": "chains"})
    report = validate(chains)
    gates, numbers = report.gates_together(), report.numbers
    titles = tuple(
        f"sample {k}: helix {numbers['helix'][k]:.0%}, strand {numbers['strand'][k]:.0%}" for k in range(len(chains))
    )
    rows = [
        Row(
            "samples through all gates", "measured", gates["value"], tuple(gates["interval"]), calls=20,
            baseline=gates["real_chains"], baseline_name="held-out real chains", note=f"n = {len(chains)}",
        ),
        Row("samples with valid local geometry", "measured", float(report.valid.double().mean())),
    ]  # fmt: skip
    return rows, Picture("Chains of 64 residues drawn in 20 network calls each.", ribbon_png(chains, titles=titles))


def _away() -> tuple:
    import torch

    return torch.eye(3), torch.tensor([14.0, 4.0, 9.0])


def _geometry(seed: int) -> list[Row]:
    """Rows that need no data."""
    found = []
    for row in bench_rows(True, seed):
        found.append(row)
        if row.name == _SHOWN[-1]:
            break
    return found
