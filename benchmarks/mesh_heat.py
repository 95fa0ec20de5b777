"""Learn one heat step ``f -> exp(-tau L) f`` on some surfaces, and take it on others.

``L`` is the cotangent Laplacian, the surfaces are stretched bumpy spheres, the functions independent normals at the
vertices; ``tau`` is a twentieth of the squared radius. Three networks of equal size get the same features: Hodge
attention, a linear map made of learned Laplacians, and a plain graph transformer on all pairs. Errors are
``|prediction - truth| / |truth|`` in the mass. Run by ``mesh_experiments.py``.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize, sparse, stats
from torch import Tensor, nn

from scidiff.mesh import HodgeLaplacian, SimplicialComplex, bumpy_sphere, cotangent_stars, icosphere, spectrum
from scidiff.nets.graph_transformer import GraphTransformer, GraphTransformerConfig
from scidiff.nets.hodge import HodgeConfig, HodgeOperator, HodgeTransformer
from scidiff.nets.surface import HodgeMesh

TAU = 0.05


def row(name: str, value: float, **facts: object) -> dict:
    """One row of the report."""
    empty = {"interval": None, "bar": None, "passed": None, "baseline": None, "calls": None, "seconds": None}
    return {"name": name, "label": "measured", "value": value, **empty, **facts}


@dataclass(frozen=True, eq=False)
class Heated:
    """A surface, its network form, and one exact heat step as a matrix; ``mass`` is the diagonal of ``M_0``."""

    complex: SimplicialComplex
    mesh: HodgeMesh
    step: Tensor
    implicit: Tensor
    mass: Tensor

    @classmethod
    def of(cls, complex: SimplicialComplex) -> Heated:
        """Exponentiate the Laplacian with all its eigenvectors."""
        laplacian = HodgeLaplacian(cotangent_stars(complex), 0)
        modes, one = spectrum(laplacian), np.eye(laplacian.size)
        maps = [modes.apply(gain, one) for gain in (np.exp(-TAU * modes.values), 1 / (1 + TAU * modes.values))]
        tensors = [torch.from_numpy(part).float() for part in (*maps, laplacian.mass.diagonal())]
        return cls(complex, HodgeMesh.from_complex(complex), *tensors)

    def functions(self, count: int, rng: np.random.Generator) -> Tensor:
        """Draw independent normals at the vertices, shape ``(count, V)``."""
        return torch.from_numpy(rng.standard_normal((count, self.mesh.sizes[0]))).float()

    def error(self, found: Tensor, truth: Tensor) -> Tensor:
        """Relative error in the mass, shape ``(count,)``."""
        norm = lambda u: (self.mass * u.square()).sum(1).sqrt()  # noqa: E731
        return norm(found - truth) / norm(truth)


def surfaces(count: int, subdivisions: int, seed: int) -> list[Heated]:
    """Stretched bumpy spheres."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        base = bumpy_sphere(subdivisions, height=rng.uniform(0, 0.25), waves=rng.uniform(2, 5))
        stretch = np.exp(0.2 * rng.standard_normal(3))
        made.append(Heated.of(SimplicialComplex.from_arrays(base.vertices * stretch, base.triangles)))
    return made


class Transformed(nn.Module):
    """Hodge transformer that predicts the change of a function."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = HodgeTransformer(HodgeConfig(layers=2, width=width), vertex_features=3, edge_features=2)

    def forward(self, f: Tensor, mesh: HodgeMesh) -> Tensor:
        """Return the heated function."""
        vertices, edges = (part.to(f).expand(len(f), -1, -1) for part in mesh.features[:2])
        return f + self.net(torch.cat([f.unsqueeze(-1), vertices], -1), edges, mesh).squeeze(-1)


class Plain(nn.Module):
    """Graph transformer on all pairs that knows which are edges, with the same features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        config = GraphTransformerConfig(layers=2, width=width, pair_width=12, heads=4, product=4)
        self.node, self.pair = nn.Linear(3, width), nn.Linear(3, config.pair_width)
        self.net = GraphTransformer(config)
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, f: Tensor, mesh: HodgeMesh) -> Tensor:
        """Return the heated function."""
        count, nodes = f.shape
        i, j = mesh.edges.T
        pairs = f.new_zeros(nodes * (nodes - 1) // 2, 3)
        pairs[j * (j - 1) // 2 + i] = torch.cat([f.new_ones(len(i), 1), mesh.features[1].to(f)], -1)
        h = self.node(torch.cat([f.unsqueeze(-1), mesh.features[0].to(f).expand(count, -1, -1)], -1))
        e = self.pair(pairs).expand(count, -1, -1)
        return f + self.read(self.net(h, e, torch.ones_like(f, dtype=torch.bool))[0]).squeeze(-1)


def linear(width: int) -> nn.Module:
    """Linear map of learned Laplacians."""
    return HodgeOperator(HodgeConfig(layers=4, width=width))


def parameters(net: nn.Module) -> int:
    """Count the parameters."""
    return sum(p.numel() for p in net.parameters())


def closest(build: Callable[[int], nn.Module], target: int) -> int:
    """Width, a multiple of four, whose number of parameters is nearest to the target."""
    with torch.random.fork_rng():
        return min(range(8, 80, 4), key=lambda width: abs(parameters(build(width)) - target))


def fit(build: Callable[[], nn.Module], data: Sequence[Heated], *, steps: int, seed: int) -> tuple[nn.Module, float]:
    """Train with Adam on eight fresh functions of one surface at a time; return the network and the seconds."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build()
    rng, began = np.random.default_rng(seed), time.perf_counter()
    optimiser = torch.optim.Adam(net.parameters(), lr=4e-3)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        surface = data[int(rng.integers(len(data)))]
        f = surface.functions(8, rng)
        loss = surface.error(net(f, surface.mesh), f @ surface.step.T).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay.step()
    return net, time.perf_counter() - began


@torch.no_grad()
def errors(predict: Callable[[Tensor, Heated], Tensor], data: Sequence[Heated], count: int) -> np.ndarray:
    """Mean relative error on each surface, over fresh functions."""
    rng, found = np.random.default_rng(99), []
    for surface in data:
        f = surface.functions(count, rng)
        found.append(float(surface.error(predict(f, surface), f @ surface.step.T).mean()))
    return np.array(found)


def uniform_heat(f: Tensor, surface: Heated, s: float) -> Tensor:
    """Heat of the graph without geometry, ``exp(-s (1 - D^-1 A)) f``."""
    d = abs(surface.complex.d0).astype(np.float64)
    a = (d.T @ d).tocsr()
    a = a - sparse.diags_array(a.diagonal())
    walk = sparse.diags_array(1 / a.sum(axis=1)) @ a
    fall = s * (walk - sparse.eye_array(walk.shape[0]))
    return torch.from_numpy(sparse.linalg.expm_multiply(fall.tocsr(), f.T.numpy()).T.copy()).to(f)


def interval(values: np.ndarray) -> list[float]:
    """95 % interval of the mean, Student's t over surfaces."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return [float(values.mean()) - half, float(values.mean()) + half]


def heat_rows(*, fast: bool, steps: int | None = None, count: int = 32) -> list[dict]:
    """Train on surfaces of 42 vertices; test on others of that size and on finer ones of 162.

    ``ratio_interval`` is the 95 % interval of the geometric mean, over surfaces, of the error over that of the plain
    graph transformer on the same surface.
    """
    steps, seeds = steps or (100 if fast else 450), (0,) if fast else (0, 1, 2)
    data, same = surfaces(12, 1, 1), [*surfaces(8, 1, 2), Heated.of(icosphere(1))]
    sets = {"unseen surfaces": same, "unseen finer surfaces": [*surfaces(5, 2, 3), Heated.of(icosphere(2))]}
    size = parameters(Transformed(24))
    widths = {Plain: closest(Plain, size), Transformed: 24, linear: closest(linear, size)}
    titles = {Plain: "plain graph transformer", Transformed: "Hodge transformer", linear: "Hodge operator"}
    scalar = optimize.minimize_scalar(
        lambda s: errors(lambda f, x: uniform_heat(f, x, s), data[:6], 8).mean(), bounds=(0.1, 6), method="bounded"
    ).x
    rivals: dict[str, tuple[list, int, float]] = {
        "no change": ([lambda f, x: f], 0, 0.0),
        "one fitted number: heat of the graph": ([lambda f, x: uniform_heat(f, x, scalar)], 1, 0.0),
        "implicit Euler with the true Laplacian": ([lambda f, x: f @ x.implicit.T], 0, 0.0),
    }
    for build, width in widths.items():
        fits = [fit(functools.partial(build, width), data, steps=steps, seed=seed) for seed in seeds]
        nets = [lambda f, x, net=net: net(f, x.mesh) for net, _ in fits]
        rivals[titles[build]] = (nets, parameters(fits[0][0]), float(np.mean([seconds for _, seconds in fits])))
    rows = []
    for where, tested in sets.items():
        found = {name: np.mean([errors(p, tested, count) for p in entry[0]], axis=0) for name, entry in rivals.items()}
        for name, (_, numbers, seconds) in rivals.items():
            facts = {
                "parameters": numbers,
                "seconds": seconds,
                "count": len(tested),
                "seeds": list(seeds),
                "steps": steps,
            }
            plain = float(found[titles[Plain]].mean())
            facts["ratio_interval"] = [math.exp(end) for end in interval(np.log(found[name] / found[titles[Plain]]))]
            value = float(found[name].mean())
            rows.append(
                row(
                    f"heat step/{where}/{name}",
                    value,
                    interval=interval(found[name]),
                    baseline=plain,
                    baseline_name=titles[Plain],
                    **facts,
                )
            )
    return rows
