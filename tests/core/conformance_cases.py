"""Everything that the core has and the kits check: processes, analytic denoisers, rules with their plans."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise import (
    DatasetDenoiser,
    Denoiser,
    Enumerated,
    FlowMap,
    GaussianMixture,
    StratifiedDenoiser,
    SubsetDenoiser,
    Tiles,
    corrupted,
    markov_chain,
    tiled,
)
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.mesh import HodgeLaplacian, annulus, bumpy_sphere, spectrum, whitney_stars
from scidiff.process import (
    IGSO3,
    AccuracySchedule,
    CochainProcess,
    CosineSchedule,
    DiscreteProcess,
    EDMSchedule,
    GaussianProcess,
    GeodesicFlow,
    HeatProcess,
    HyperbolicHeatKernel,
    Kind,
    LinearFlowSchedule,
    LogBridge,
    NormalAround,
    OneHotFlow,
    OperatorSchedule,
    PremetricFlow,
    ProductProcess,
    SphereHeatKernel,
    VESchedule,
    VPSchedule,
    WrappedNormal,
    contracted_uniform,
    mask,
    tree,
    uniform,
)
from scidiff.process.geodesic import along, point_time
from scidiff.random import Noise
from scidiff.spaces import (
    SO3,
    Categorical,
    Centred,
    Cochain,
    Euclidean,
    Flat,
    Hyperbolic,
    MeshSurface,
    Power,
    Sphere,
    State,
    Torus,
)
from scidiff.spaces.centred import centre
from scidiff.testing_targets.enumeration import INITIAL, TRANSITION
from scidiff.testing_targets.kernels import KERNELS

COUNT = 6
NOISE = Noise.range(11, COUNT)


def normal(*shape: int, step: int = 0) -> Tensor:
    return NOISE.normal(shape, step=step, stream="data")


# ---- views: the same prediction as another kind ----------------------------------------------------------------------


def gaussian_views(process: GaussianProcess) -> dict[Kind, Callable]:
    levels = lambda t: (process.schedule.alpha(t), process.schedule.sigma(t))  # noqa: E731

    def eps(m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = levels(t)
        return (x - alpha * m) / sigma

    def velocity(m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        a, b = process.schedule.velocity(t)
        return a * m + b * eps(m, x, t)

    return {Kind.EPS: eps, Kind.V: velocity, Kind.SCORE: lambda m, x, t: -eps(m, x, t) / levels(t)[1]}


def discrete_views(process: DiscreteProcess) -> dict[Kind, Callable]:
    def loo(m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        likelihood = process.kernel.column(x, t)[..., : process.kernel.clean]
        return torch.where(likelihood > 0, m - torch.where(likelihood > 0, likelihood, 1.0).log(), 0.0)

    return {Kind.LOO_LOGITS: loo, Kind.SCORE: lambda m, x, t: process.ratios(m, x, t).log()}


def tangent_views(process: GeodesicFlow | LogBridge) -> dict[Kind, Callable]:
    pace = lambda x, t: along(process.clock.pace(point_time(t, x, process.site)), process.site)  # noqa: E731
    return {Kind.V: lambda m, x, t: -m / pace(x, t)}


def heat_views(process: HeatProcess) -> dict[Kind, Callable]:
    return {Kind.EPS: lambda m, x, t: -m * (process.variance * process.clock.remaining(t)).sqrt()}


def cochain_views(process: CochainProcess) -> dict[Kind, Callable]:
    space = process.space

    def eps(m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = process.levels(t, x)
        return space.values((space.coefficients(x) - alpha * space.coefficients(m)) / sigma)

    def velocity(m: Tensor, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = process.levels(t, x)
        return space.values(alpha * space.coefficients(eps(m, x, t)) - sigma * space.coefficients(m))

    return {Kind.EPS: eps, Kind.V: velocity}


# ---- processes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessCase:
    """A process, its data, and what the kit has to know of it."""

    process: Any
    x0: State
    views: Any
    options: dict[str, Any] = field(default_factory=dict)


def gaussian(schedule: Any, space: Any = None, x0: Tensor | None = None) -> ProcessCase:
    process = GaussianProcess(Euclidean((3, 2)) if space is None else space, schedule)
    return ProcessCase(process, normal(3, 2) if x0 is None else x0, gaussian_views(process))


def discrete(kernel: Any) -> ProcessCase:
    process = DiscreteProcess(Categorical(kernel.states, (3,)), kernel)
    x0 = (torch.arange(3 * COUNT).reshape(COUNT, 3) ** 2 + torch.arange(COUNT).unsqueeze(1)) % kernel.clean
    return ProcessCase(process, x0, discrete_views(process))


def points(space: Any, *shape: int) -> Tensor:
    return space.uniform(NOISE, shape or space.shape, step=0, stream="points")


def geodesic(space: Any, *shape: int) -> ProcessCase:
    process = GeodesicFlow(space)
    options = {"memoryless": False, "count": 1200}
    return ProcessCase(process, points(space, *shape), tangent_views(process), options)


def bridge(space: Any, *shape: int) -> ProcessCase:
    process = LogBridge(space, walk=4)
    options = {"memoryless": False, "count": 600}
    return ProcessCase(process, points(space, *shape), tangent_views(process), options)


def heat(kernel: Any, space: Any, variance: float, *shape: int) -> ProcessCase:
    process = HeatProcess(kernel, space, variance)
    return ProcessCase(process, points(space, *shape), heat_views(process), {"count": 1200})


@functools.cache
def surface() -> ProcessCase:
    """Premetric flow on a bumpy sphere."""
    space = MeshSurface.spectral(spectrum(HodgeLaplacian(whitney_stars(bumpy_sphere(1)), 0), 20))
    process = PremetricFlow(space)
    return ProcessCase(process, points(space), tangent_views(process), {"memoryless": False, "count": 300})


def around(space: Any, centre: Tensor) -> ProcessCase:
    """A geodesic flow of a space without a uniform law."""
    base = NormalAround(space, centre, 0.7)
    process = GeodesicFlow(space, base=base)
    x0 = base(NOISE, tuple(space.shape), step=1, stream="points")
    return ProcessCase(process, x0, tangent_views(process), {"memoryless": False, "count": 1200})


def hyperbolic_heat() -> ProcessCase:
    """Brownian motion on the hyperboloid; its prior is the kernel itself, seen from the origin."""
    space, kernel = Hyperbolic(3), HyperbolicHeatKernel(Hyperbolic(3))
    origin = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)

    def base(noise: Noise, shape: tuple[int, ...], *, step: int, stream: str) -> Tensor:
        start = origin.expand(len(noise), *shape)
        return kernel.sample(start, torch.full((len(noise),), 1.0).double(), noise, step=step, stream=stream)

    process = HeatProcess(kernel, space, 1.0, base=base)
    x0 = space.exp(origin.expand(COUNT, 4), 0.01 * space.random_tangent(origin.expand(COUNT, 4), NOISE, step=0,
                   stream="points"))  # fmt: skip
    return ProcessCase(process, x0, heat_views(process), {"count": 1200})


@functools.cache
def cochains() -> ProcessCase:
    space = Cochain(spectrum(HodgeLaplacian(whitney_stars(annulus(2, 8)), 1), 6))
    process = CochainProcess(space, OperatorSchedule(VPSchedule(), 0.002))
    return ProcessCase(process, space.project(normal(*space.shape)), cochain_views(process), {"per_site": False})


def one_hot() -> ProcessCase:
    process = OneHotFlow(Euclidean((3, 4)), AccuracySchedule(4))
    tokens = torch.arange(3 * COUNT).reshape(COUNT, 3) % 4
    # entries of one-hot data are 0 and 1, and so is their mean: the target; its logarithm would be -inf
    views = gaussian_views(process) | {Kind.LOGITS: lambda m, x, t: m.log()}
    return ProcessCase(process, process.encode(tokens), views)


def product() -> ProcessCase:
    a, b = gaussian(VPSchedule()), discrete(uniform(3))
    twin = GaussianProcess(Euclidean((3, 2)), VPSchedule())
    process = ProductProcess({"a": a.process, "b": b.process, "c": twin})
    x0 = {"a": a.x0, "b": b.x0, "c": a.x0}
    return ProcessCase(process, x0, {"a": a.views, "b": b.views, "c": a.views})


PROCESSES: dict[str, Callable[[], ProcessCase]] = {
    "gaussian-vp": lambda: gaussian(VPSchedule()),
    "gaussian-cosine": lambda: gaussian(CosineSchedule()),
    "gaussian-edm": lambda: gaussian(EDMSchedule()),
    "gaussian-ve": lambda: gaussian(VESchedule(0.01, 40.0)),
    "gaussian-linear": lambda: gaussian(LinearFlowSchedule()),
    "gaussian-centred": lambda: gaussian(VPSchedule(), Centred(), centre(normal(4, 3))),
    "one-hot": one_hot,
    **{f"discrete-{name}": functools.partial(discrete, kernel) for name, kernel in KERNELS.items()},
    "geodesic-sphere": lambda: geodesic(Sphere(2)),
    "geodesic-torus": lambda: geodesic(Torus(2)),
    "geodesic-so3": lambda: geodesic(SO3()),
    "geodesic-two-spheres": lambda: geodesic(Power(Sphere(2), (2,)), 2, 3),
    "geodesic-hyperbolic": lambda: around(Hyperbolic(2), torch.tensor([0.0, 0.0, 1.0])),
    "premetric-surface": surface,
    "geodesic-flat": lambda: around(Flat(3), torch.zeros(3)),
    "bridge-torus": lambda: bridge(Torus(2)),
    "bridge-so3": lambda: bridge(SO3()),
    "heat-so3": lambda: heat(IGSO3(), SO3(), 9.0),
    "heat-torus": lambda: heat(WrappedNormal(Torus(2)), Torus(2), 12.0),
    "heat-sphere": lambda: heat(SphereHeatKernel(Sphere(2)), Sphere(2), 9.0),
    "heat-two-rotations": lambda: heat(IGSO3(), Power(SO3(), (2,)), 9.0, 2, 4),
    "heat-hyperbolic": hyperbolic_heat,
    "cochain": cochains,
    "product": product,
}


# ---- analytic denoisers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DenoiserCase:
    """A denoiser, the process of its states, and data."""

    denoiser: Denoiser
    process: Any
    x0: State
    options: dict[str, Any] = field(default_factory=dict)


def mixture(covariances: Tensor) -> GaussianMixture:
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])
    return GaussianMixture(VPSchedule(), torch.tensor([0.5, 0.3, 0.2]), means, covariances)


def plane(denoiser: Denoiser, **options: Any) -> DenoiserCase:
    return DenoiserCase(denoiser, GaussianProcess(Euclidean((2,)), VPSchedule()), normal(2), options)


@functools.cache
def chain(kernel: Any, length: int = 3) -> tuple[DiscreteProcess, Enumerated, Tensor]:
    """Markov chain of three classes, and six of its sequences."""
    process = DiscreteProcess(Categorical(kernel.states, (length,)), kernel)
    x0 = torch.arange(length * COUNT).reshape(COUNT, length) // 2 % 3
    return process, Enumerated(markov_chain(INITIAL, TRANSITION, length), kernel), x0


MASK, UNIFORM, TREE = mask(3), uniform(3), tree([0, 1, 1])


def enumerated(kernel: Any, kind: Kind) -> DenoiserCase:
    process, oracle, x0 = chain(kernel)
    return DenoiserCase(oracle.denoiser(kind), process, x0)


def wrong() -> DenoiserCase:
    process, oracle, x0 = chain(UNIFORM)
    return DenoiserCase(corrupted(oracle.denoiser(), process, 0.3, seed=1), process, x0)


def on_manifold(case: ProcessCase, density: Callable) -> DenoiserCase:
    denoiser = ManifoldDatasetDenoiser(case.process, density, case.x0[:4]).denoiser
    return DenoiserCase(denoiser, case.process, case.x0)


def stratified() -> DenoiserCase:
    """All strata are read for so small an error; one time per sample."""
    data = Noise.range(5, 40).normal((2,), step=0, stream="data")
    denoiser = StratifiedDenoiser(VPSchedule(), data, error=0.05, seed=0, rank=2, first=8).denoiser
    return plane(denoiser, per_site=False)


def in_tiles() -> DenoiserCase:
    """A field of one channel in overlapping tiles, each of which looks at its neighbours."""

    def smooth(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return (x + 0.5 * (x.roll(1, -1) + x.roll(-1, -1))) / 2

    process = GaussianProcess(Euclidean((1, 12)), VPSchedule())
    denoiser = tiled(Denoiser(smooth, Kind.MEAN), Tiles((6,), (2,)))
    return DenoiserCase(denoiser, process, normal(1, 12))


def mapped(case: ProcessCase) -> DenoiserCase:
    """A flow map of any two times, seen by its rule."""

    def network(x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        width = 3 if isinstance(case.process.space, Power) else x.shape[-1]
        return torch.linspace(-1, 1, width, dtype=x.dtype) + 0.3 * x[..., :width]

    return DenoiserCase(
        FlowMap(network, case.process).denoiser(torch.linspace(1, 0, 5).double()), case.process, case.x0
    )


DENOISERS: dict[str, Callable[[], DenoiserCase]] = {
    "mixture-isotropic": lambda: plane(mixture(torch.tensor([0.1, 0.2, 0.05])).denoiser),
    "mixture-diagonal": lambda: plane(mixture(torch.tensor([[0.1, 0.2]] * 3)).denoiser),
    "mixture-full": lambda: plane(mixture(0.1 * torch.eye(2).repeat(3, 1, 1) + 0.02).denoiser),
    "data-set": lambda: plane(DatasetDenoiser(VPSchedule(), normal(2, step=1), chunk=4).denoiser),
    "subset": lambda: plane(
        SubsetDenoiser(
            VPSchedule(), Noise.range(5, 40).normal((2,), step=0, stream="data"), error=1e-9, first=4
        ).denoiser,
        tolerance=1e-8,
    ),
    "stratified": stratified,
    "tiles": in_tiles,
    "flow-map": lambda: mapped(gaussian(LinearFlowSchedule(), Euclidean((2,)), normal(2))),
    "flow-map-two-rotations": lambda: mapped(heat(IGSO3(), Power(SO3(), (2,)), 9.0, 2, 4)),
    "enumerated-mask": lambda: enumerated(MASK, Kind.LOGITS),
    "enumerated-uniform": lambda: enumerated(UNIFORM, Kind.LOGITS),
    "enumerated-leave-one-out": lambda: enumerated(UNIFORM, Kind.LOO_LOGITS),
    "corrupted": wrong,
    "manifold-geodesic": lambda: on_manifold(geodesic(SO3()), contracted_uniform),
    "manifold-two-spheres": lambda: on_manifold(geodesic(Power(Sphere(2), (2,)), 2, 3), contracted_uniform),
    "manifold-heat": lambda: on_manifold(heat(WrappedNormal(Torus(2)), Torus(2), 12.0), HeatProcess.log_density),
}
