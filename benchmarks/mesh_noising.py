"""One noising of 100 000 triangles: ``python benchmarks/mesh_noising.py [--tolerance E] [--fast] [--out FILE]``.

The Ornstein-Uhlenbeck process without eigenvectors, for cochains of all three degrees, several lengths ``sqrt(c)`` and
times. Each is compared in the same run with the direct way: one polynomial for ``alpha(L)`` and one for ``sigma(L)`` on
white noise, both of the whole operator, to the same tolerance relative to each function. The seconds are the CPU time
of one thread for ``x_t`` from ``x_0`` and normals that are drawn already, with the coefficients and without the
matrices of the mesh, which are made once; the least of three runs for ours, a single one for the direct way. A second
set of rows has the error against all eigenvectors of a small mesh, in the norm of the mass. All numbers are measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from scidiff.mesh import (
    Chebyshev,
    HodgeLaplacian,
    SimplicialComplex,
    barycentric_stars,
    bumpy_sphere,
    neighbour_degrees,
    rough_noise,
    spectrum,
    torus,
)
from scidiff.process import MatrixFreeNoising, OperatorSchedule, VPSchedule
from scidiff.random import Noise

NAMES = ("vertices", "edges", "triangles")
LENGTHS, TIMES = (0.03, 0.1, 0.3, 1.0), (0.05, 0.3, 1.0)
BAR = 1.0


def row(name: str, value: float, **facts: object) -> dict:
    """One row of the report."""
    empty = {"interval": None, "bar": None, "passed": None, "baseline": None, "calls": None, "seconds": None}
    return {"name": name, "label": "measured", "value": value, **empty, **facts}


def tell(each: dict) -> None:
    """Print one row."""
    ratios = "".join(
        f"  {value:.1f} x the direct way{key[5:]}" for key, value in each.items() if key.startswith("ratio at")
    )
    print(f"{each['name']:36s} {each['value']:.3g} {'passed' if each['passed'] else 'missed'}{ratios}", flush=True)


def cpu(work: Callable[[], object]) -> float:
    """CPU time of one run, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def least(work: Callable[[], object], repeats: int) -> float:
    """Least time of some runs, after one that does not count."""
    work()
    return min(cpu(work) for _ in range(repeats))


class Drawn:
    """Normals drawn beforehand, so that both ways are timed without their draws."""

    def __init__(self, complex: SimplicialComplex) -> None:
        noise = Noise.range(0, 1)
        self.normals = [noise.normal((size,), step=0, stream=str(k)) for k, size in enumerate(complex.sizes)]

    def __len__(self) -> int:
        return 1

    def normal(self, shape: tuple[int, ...] = (), *, step: int, stream: str) -> torch.Tensor:
        """Return the normals of the degree that the stream ends with."""
        return self.normals[int(stream[-1])]


def direct(laplacian: HodgeLaplacian, schedule: OperatorSchedule, tolerance: float) -> Callable:
    """``alpha(L) x_0 + sigma(L) M^-1/2 z`` with polynomials of the whole operator."""
    whole = Chebyshev(laplacian)

    def noised(x0: np.ndarray, z: np.ndarray, t: float) -> np.ndarray:
        levels = [lambda l, f=f: f(t, torch.from_numpy(l)).numpy() for f in (schedule.alpha, schedule.sigma)]
        signal, spread = (whole.coefficients(level, tolerance=tolerance) for level in levels)
        return whole.apply(signal, x0) + whole.apply(spread, whole.white(z))

    return noised


def times(complex: SimplicialComplex, tolerance: float, repeats: int) -> list[dict]:
    """Seconds of one noising, worst over the times, by degree and length."""
    stars, drawn, rows = barycentric_stars(complex), Drawn(complex), []
    for degree, name in enumerate(NAMES):
        laplacian, z = HodgeLaplacian(stars, degree), drawn.normals[degree]
        u = z[0].numpy()
        for length in LENGTHS:
            schedule = OperatorSchedule(VPSchedule(), length**2)
            fast = MatrixFreeNoising(laplacian, schedule, tolerance)
            slow = direct(laplacian, schedule, tolerance)
            seconds = {t: least(lambda t=t, fast=fast, x0=z: fast.noise(x0, t, drawn), repeats) for t in TIMES}
            worst = max(TIMES, key=seconds.__getitem__)
            compared = {t: cpu(lambda t=t, slow=slow, u=u: slow(u, u, t)) for t in (TIMES[0], worst)}
            ratios = {f"ratio at t = {t:g}": compared[t] / seconds[t] for t in compared}
            rows.append(
                row(
                    f"mesh noising/{name}/sqrt(c) = {length:g}",
                    seconds[worst],
                    way="rough" if fast.plan(worst)[2] else "white",
                    seconds=seconds[worst],
                    bar=BAR,
                    passed=seconds[worst] <= BAR,
                    baseline=compared[worst],
                    baseline_name="polynomials of the whole operator",
                    ratio=compared[worst] / seconds[worst],
                    seconds_by_time={f"{t:g}": value for t, value in seconds.items()},
                    simplices=laplacian.size,
                    tolerance=tolerance,
                    **ratios,
                )
            )
            tell(rows[-1])
    return rows


def errors(tolerance: float) -> list[dict]:
    """Worst error over lengths and times on a small mesh, relative to a datum and white noise in the larger level."""
    stars, rows = barycentric_stars(bumpy_sphere(2)), []
    for degree, name in enumerate(NAMES):
        laplacian, drawn, worst = HodgeLaplacian(stars, degree), Drawn(stars.complex), 0.0
        modes, mass = spectrum(laplacian), laplacian.mass.diagonal()
        norm = lambda u, mass=mass: float(np.sqrt(mass @ u**2))  # noqa: E731
        x0 = drawn.normals[degree][0].numpy()
        normals = {k: drawn.normals[k][0].numpy() for k in neighbour_degrees(degree)}
        for length, t in itertools.product(LENGTHS, TIMES):
            fast = MatrixFreeNoising(laplacian, OperatorSchedule(VPSchedule(), length**2), tolerance)
            levels, is_rough = fast.levels(t), fast.plan(t)[2]
            rough = rough_noise(laplacian, normals, stiffness=length**2)
            spread, noise = (levels.rough, rough) if is_rough else (levels.white, fast.functions.white(normals[degree]))
            want = modes.apply(levels.signal(modes.values), x0) + modes.apply(spread(modes.values), noise)
            top = max(levels.signal(modes.values).max(), levels.white(modes.values).max())
            error = norm(fast.noise(drawn.normals[degree], t, drawn)[0].numpy() - want)
            worst = max(worst, float(error / top / (norm(x0) + laplacian.size**0.5)))
        rows.append(
            row(f"mesh noising error/{name}", worst, bar=tolerance, passed=worst <= tolerance, tolerance=tolerance)
        )
        tell(rows[-1])
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tolerance", type=float, default=1e-6, help="largest error of the polynomials")
    parser.add_argument("--fast", action="store_true", help="one repeat, on a mesh of 10 000 triangles")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    complex = torus(100, 50) if options.fast else torus(316, 159)
    rows = times(complex, options.tolerance, 1 if options.fast else 3) + errors(options.tolerance)
    if options.out is not None:
        options.out.write_text(json.dumps({"triangles": complex.sizes[2], "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
