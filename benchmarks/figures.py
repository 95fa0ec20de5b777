"""Draw the pictures of ``docs/gallery.md``: ``python benchmarks/figures.py [--only NAME ...] [--out FOLDER] [--list]``.

`FIGURES` is the list: a name, and the function that draws the picture. A further picture is one function
that takes nothing and returns a `matplotlib` figure, one line here, and one paragraph in ``docs/gallery.md``. Pictures
are deterministic: all randomness is seeded, and files carry no date. A file has at most 120 kB.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import figure_analyses
import figure_conformers
import figure_manifolds
import figure_meshes
import figure_samplers
import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).parent
LIMIT, DPI = 120_000, 100


FIGURES: dict[str, Callable[[], Figure]] = {
    "mesh-torus-field": figure_meshes.torus_field,
    "mesh-bumpy-sphere-field": figure_meshes.bumpy_sphere_field,
    "mesh-annulus-flow": figure_meshes.annulus_flow,
    "hodge-spectra": figure_meshes.hodge_spectra,
    "heat-kernels": figure_manifolds.heat_kernels,
    "retracted-orders": figure_manifolds.retracted_orders,
    "mixed-curvature": figure_manifolds.mixed_curvature,
    "mueller-brown": figure_analyses.mueller_brown,
    "memorisation-regimes": figure_analyses.memorisation,
    "collapse": figure_analyses.collapse,
    "sampler-audit": figure_samplers.audit,
    "unmasking": figure_samplers.unmasking,
    "few-calls": figure_samplers.few_calls,
    "conformers": figure_conformers.lengths_and_angles,
    "bench-core": figure_samplers.bench_core,
}


def encode(figure: Figure) -> bytes:
    """PNG of a figure without a date, with a reduced palette where it is large otherwise."""
    raw, full, small = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI, metadata={"Software": None})
    image = Image.open(raw).convert("RGB")
    image.save(full, "PNG", optimize=True)
    if len(full.getvalue()) <= LIMIT:
        return full.getvalue()
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> int:
    """Draw what was asked for; 1 if a file is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), help="names of pictures")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "pictures", help="where the files go")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    asked = parser.parse_args()
    if asked.list:
        print(*FIGURES, sep="\n")
        return 0
    torch.set_num_threads(1)
    matplotlib.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    asked.out.mkdir(parents=True, exist_ok=True)
    too_large = False
    for name in asked.only:
        began = time.perf_counter()
        data = encode(FIGURES[name]())
        (asked.out / f"{name}.png").write_bytes(data)
        too_large |= len(data) > LIMIT
        print(f"{name:<26} {len(data) / 1000:6.1f} kB {time.perf_counter() - began:6.1f} s", flush=True)
    return int(too_large)


if __name__ == "__main__":
    sys.exit(main())
