"""Three experiments on meshes: ``python benchmarks/mesh_experiments.py [--fast] [--out FILE] [--pictures FOLDER]``.

(a) Learn one heat step on some surfaces, and take it on others: see ``mesh_heat.py``.
(b) Divergence-free edge flows on an annulus: the Ornstein-Uhlenbeck process of the mesh, reversed with the exact
    Gaussian denoiser. The circulation around the hole has a known law, and ``d0^T M_1 x`` should vanish.
(c) Random scalar fields on a torus and on a bumpy sphere, drawn by the same process; the mean energy is known.

Rows go to a JSON file, pictures to a folder. All numbers in the rows are measured.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mesh_heat import heat_rows, row
from scipy import stats
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.mesh import (
    HodgeDecomposition,
    HodgeLaplacian,
    annulus,
    bumpy_sphere,
    draw_edges,
    draw_scalar,
    spectrum,
    torus,
    whitney_stars,
)
from scidiff.process import CochainProcess, Kind, OperatorSchedule, VPSchedule
from scidiff.random import Noise
from scidiff.sample import ModeRule, RunState, log_snr_grid, run, unipc
from scidiff.spaces import Cochain

HERE = Path(__file__).parent
CLOCK = VPSchedule()


# ---- (b) flows without divergence ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Flows:
    """Gaussian edge flows on an annulus: mean and covariance of coefficients, and the loop around the hole."""

    space: Cochain
    mean: Tensor
    covariance: Tensor
    loop: Tensor

    @classmethod
    def on(cls, rings: int, sectors: int, *, centre: float = 1.0, spread: float = 0.5) -> Flows:
        """Harmonic part of circulation ``N(centre, spread^2)``, coexact part with variance ``(1 + l / 20)^-2``."""
        complex = annulus(rings, sectors)
        stars = whitney_stars(complex)
        modes = spectrum(HodgeLaplacian(stars, 1))
        loop = np.zeros(complex.sizes[1])
        number = {tuple(pair): k for k, pair in enumerate(complex.edges.tolist())}
        for a, b in zip(range(sectors), [*range(1, sectors), 0], strict=True):
            loop[number[min(a, b), max(a, b)]] = 1.0 if a < b else -1.0
        parts = HodgeDecomposition(stars, 1)(modes.vectors)
        coclosed = modes.coefficients(parts.coexact + parts.harmonic)
        unit = float(loop @ modes.vectors[:, 0])
        variance = (1 + modes.values / 20) ** -2.0
        variance[0] = (spread / unit) ** 2
        mean = np.zeros(modes.modes)
        mean[0] = centre / unit
        tensors = [torch.from_numpy(part) for part in (mean, coclosed * variance @ coclosed.T, loop)]
        return cls(Cochain(modes), *tensors)

    def process(self, stiffness: float) -> CochainProcess:
        """Ornstein-Uhlenbeck process of the mesh; white noise of one level for all modes where stiffness is 0."""
        return CochainProcess(self.space, OperatorSchedule(CLOCK, stiffness))

    def denoiser(self, process: CochainProcess) -> Denoiser:
        """Exact posterior mean, ``m = mu + C alpha (alpha C alpha + sigma^2)^-1 (x - alpha mu)``."""

        def function(x: Tensor, t: Tensor, condition: object) -> Tensor:
            alpha, sigma = (level[0] for level in process.levels(t, x))
            left = alpha[:, None] * self.covariance
            gain = torch.linalg.solve(left * alpha + torch.diag(sigma**2), left)
            return self.space.values(self.mean + (self.space.coefficients(x) - alpha * self.mean) @ gain)

        return Denoiser(function, Kind.MEAN)

    def sample(self, count: int, steps: int, *, seed: int, stiffness: float) -> Tensor:
        """Draw flows, shape ``(count, E)``, with UniPC of order 2."""
        process = self.process(stiffness)
        rule = ModeRule.build(process, log_snr_grid(CLOCK, steps, floor=1e-3), functools.partial(unipc, order=2))
        noise = Noise.range(seed, count)
        return run(self.denoiser(process), process, rule, rule.plan, noise=noise, shape=self.space.shape).x

    def covariance_error(self, steps: int, *, stiffness: float) -> float:
        """Relative error of the covariance of the samples, without sampling: the solver is affine in its start."""
        process = self.process(stiffness)
        rule = ModeRule.build(process, log_snr_grid(CLOCK, steps, floor=1e-3), functools.partial(unipc, order=2))
        scale = process.schedule.sigma(1.0, self.space.eigenvalues)
        start = self.space.values(torch.cat([torch.diag(scale), torch.zeros(1, len(scale))]))
        state = RunState.at(start, 1.0, Noise.range(0, len(start)))
        end = self.space.coefficients(run(self.denoiser(process), process, rule, rule.plan, state=state).x)
        response = end[:-1] - end[-1:]
        return float((response.T @ response - self.covariance).norm() / self.covariance.norm())

    def law(self, functional: Tensor) -> tuple[float, float]:
        """Mean and standard deviation of a linear functional of the values."""
        g = self.space.values(torch.eye(self.space.modes, dtype=torch.float64)) @ functional
        return float(g @ self.mean), math.sqrt(float(g @ self.covariance @ g))

    def divergence(self, x: Tensor) -> float:
        """Root of the mean square of ``d0^T M_1 x``."""
        d0 = self.space.spectrum.laplacian.stars.complex.d0
        return float(np.sqrt(np.mean((d0.T @ self.space.flat(x).T.numpy()) ** 2)))

    def harmonic_loop(self) -> Tensor:
        """Functional of the circulation of the harmonic part alone."""
        harmonic = torch.from_numpy(self.space.spectrum.harmonic.copy())
        return self.space.flat(harmonic.T)[0] * float(harmonic[:, 0] @ self.loop)


def law_scores(values: np.ndarray, mean: float, std: float) -> tuple[float, float, float]:
    """z-scores of mean and variance against a normal law, and the p-value of Kolmogorov and Smirnov."""
    count = len(values)
    z_mean = (values.mean() - mean) / (std / math.sqrt(count))
    z_variance = (values.var(ddof=1) / std**2 - 1) / math.sqrt(2 / (count - 1))
    return float(z_mean), float(z_variance), float(stats.kstest(values, "norm", (mean, std)).pvalue)


def flow_rows(pictures: Path, *, fast: bool, steps: int = 80) -> list[dict]:
    """Law of the circulation, divergence, and noise that knows the mesh against noise that does not."""
    flows, count, seed, rows = Flows.on(3, 18) if fast else Flows.on(4, 24), 500 if fast else 4000, 5, []
    for name, stiffness in (("Hodge noise", 0.01), ("white noise", 0.0)):
        began = time.perf_counter()
        x = flows.sample(count, steps, seed=seed, stiffness=stiffness)
        facts = {"calls": steps, "seconds": time.perf_counter() - began, "count": count, "seeds": [seed]}
        for part, functional in (("harmonic circulation", flows.harmonic_loop()), ("inner loop", flows.loop)):
            mean, std = flows.law(functional)
            values = (x @ functional).numpy()
            scores = law_scores(values, mean, std)
            half = 1.96 * std / math.sqrt(count)
            found = float(values.mean())
            more = {
                "interval": [found - half, found + half],
                "truth": mean,
                "truth_std": std,
                "std": float(values.std(ddof=1)),
            }
            for what, z in zip(("mean", "variance"), scores[:2], strict=True):
                rows.append(row(f"flows/{name}/{part}/z of the {what}", z, bar=4.0, passed=abs(z) < 4, **facts))
            rows.append(row(f"flows/{name}/{part}/mean", found, ks_p_value=scores[2], **more, **facts))
        for few in (10, 20, 40, 80):
            error = flows.covariance_error(few, stiffness=stiffness)
            rows.append(row(f"flows/{name}/error of the covariance, {few} calls", error, calls=few, count=1, seeds=[]))
        process = flows.process(stiffness)
        prior = flows.divergence(process.prior(Noise.range(seed, 100), flows.space.shape))
        found = flows.divergence(x)
        passed = found < 1e-9 * prior
        rows.append(row(f"flows/{name}/divergence", found, baseline=prior, bar=1e-9 * prior, passed=passed, **facts))
    save(draw_edges(flows.space.spectrum.laplacian.stars.complex, x[0].numpy(), title="A flow without divergence",
                    label="circulation per length"), pictures / "mesh-annulus-flow.png")  # fmt: skip
    return rows


# ---- (c) fields ------------------------------------------------------------------------------------------------------


def field_rows(pictures: Path, *, fast: bool, steps: int = 80) -> list[dict]:
    """Draw fields of the covariance ``(1 + 0.05 l)^-2``; compare their mean energy ``<x, x>`` with its trace."""
    shapes = {
        "torus": torus(24, 12) if fast else torus(48, 24),
        "bumpy sphere": bumpy_sphere(2 if fast else 4, height=0.25, waves=4.0),
    }
    count, seed, rows = 200 if fast else 1000, 11, []
    for name, complex in shapes.items():
        began = time.perf_counter()
        space = Cochain(spectrum(HodgeLaplacian(whitney_stars(complex), 0), 60))
        process = CochainProcess(space, OperatorSchedule(CLOCK, 0.05))
        variance = (1 + 0.05 * space.eigenvalues) ** -2.0

        def mean(x: Tensor, t: Tensor, condition: object, *, process=process, variance=variance) -> Tensor:
            alpha, sigma = process.levels(t, x)
            gain = alpha * variance / (alpha**2 * variance + sigma**2)
            return process.space.values(gain * process.space.coefficients(x))

        rule = ModeRule.build(process, log_snr_grid(CLOCK, steps, floor=1e-3), functools.partial(unipc, order=2))
        denoiser, noise = Denoiser(mean, Kind.MEAN), Noise.range(seed, count)
        x = run(denoiser, process, rule, rule.plan, noise=noise, shape=space.shape).x
        energy, truth = float(space.inner(x, x, x).mean()), float(variance.sum())
        error = math.sqrt(2 * float(variance.square().sum()) / count)
        facts = {"calls": steps, "seconds": time.perf_counter() - began, "count": count, "seeds": [seed]}
        within = {"interval": [energy - 1.96 * error, energy + 1.96 * error], "truth": truth}
        passed = abs(energy - truth) < 4 * error
        rows.append(row(f"fields/{name}/mean energy", energy, bar=4 * error, passed=passed, **within, **facts))
        figure = draw_scalar(complex, x[0].numpy(), title=f"A generated field on a {name}", label="value")
        save(figure, pictures / f"mesh-{name.replace(' ', '-')}-field.png")
    return rows


def save(figure: object, path: Path) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="smaller meshes, fewer samples, one seed")
    parser.add_argument("--out", type=Path, default=HERE / "mesh_experiments.json", help="where the rows go")
    parser.add_argument("--pictures", type=Path, default=HERE.parent / "docs" / "pictures", help="where pictures go")
    asked = parser.parse_args()
    rows = [
        *flow_rows(asked.pictures, fast=asked.fast),
        *field_rows(asked.pictures, fast=asked.fast),
        *heat_rows(fast=asked.fast),
    ]
    facts = {
        "protocol": "mesh experiments 1",
        "fast": asked.fast,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    asked.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    for each in rows:
        span = each["interval"]
        print(f"{each['name']:<75} {each['value']:.4g}" + (f" [{span[0]:.4g}, {span[1]:.4g}]" if span else ""))


if __name__ == "__main__":
    main()
