"""Every rule of the core with a plan, a process and an exact denoiser, ready for the kit."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.process import (
    GaussianProcess,
    HeatProcess,
    Kind,
    LogBridge,
    MinimalFlow,
    ProductProcess,
    VPSchedule,
    WrappedNormal,
    contracted_uniform,
)
from scidiff.sample import (
    Adaptive,
    Ancestral,
    Bdia,
    Confidence,
    EntropyBounded,
    FactorRule,
    FirstHitting,
    Grid,
    InfoGain,
    Jump,
    MinimumEntropy,
    ModeRule,
    ProjectAndNoise,
    Psi,
    RandomOrder,
    Retracted,
    RetractedBridge,
    RetractedHeat,
    TableRule,
    TauLeaping,
    Trapezoidal,
    Uniformisation,
    Unmask,
    analytic_dpm,
    ancestral,
    campbell,
    ddim,
    defog,
    deis,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_3m,
    exponential_adams,
    gat,
    heun,
    log_snr_grid,
    polydec_grid,
    remdm_capped,
    remdm_rescaled,
    sa_solver,
    uniform_grid,
    unipc,
)
from scidiff.spaces import SO3, Euclidean, Torus

from .conformance_cases import MASK, TREE, UNIFORM, chain, cochains, geodesic, heat, mixture, points


@dataclass(frozen=True)
class RuleCase:
    """What the kit needs to run a rule."""

    rule: Any
    process: Any
    plan: Any
    denoiser: Denoiser
    shape: Any
    options: dict[str, Any] = field(default_factory=dict)


VP = VPSchedule()
LEVELS = log_snr_grid(VP, 5)


def variance(lam: float) -> float:
    """Posterior variance of standard normal data."""
    return 1 / (1 + math.exp(2 * lam))


def table(solver: Callable) -> RuleCase:
    rule = TableRule(solver(VP, LEVELS))
    denoiser = mixture(torch.tensor([0.1, 0.2, 0.05])).denoiser
    # a table knows no other moves than its own
    return RuleCase(rule, GaussianProcess(Euclidean((2,)), VP), rule.plan, denoiser, (2,), {"stays": False})


def bdia() -> RuleCase:
    denoiser = mixture(torch.tensor([0.1, 0.2, 0.05])).denoiser
    # with a past, a move from t to t is one along the past
    return RuleCase(Bdia(), GaussianProcess(Euclidean((2,)), VP), Grid(LEVELS), denoiser, (2,), {"stays": False})


def adaptive() -> RuleCase:
    """Every sample at its own pace; a rejected step goes back in time."""
    plan = Adaptive(VP, 0.05)
    denoiser, process = mixture(torch.tensor([0.1, 0.2, 0.05])).denoiser, GaussianProcess(Euclidean((2,)), VP)
    options = {"stays": False, "rejects": True, "policy": plan.policy}
    return RuleCase(plan.rule, process, plan, denoiser, (2,), options)


def jump() -> RuleCase:
    case = table(ddim)
    return RuleCase(Jump(), case.process, Grid(LEVELS), case.denoiser, (2,))


def modes() -> RuleCase:
    process = cochains().process
    rule = ModeRule.build(process, log_snr_grid(VP, 5), functools.partial(unipc, order=2))
    mean = Denoiser(lambda x, t, condition: 0.7 * process.space.project(x.tanh()), Kind.MEAN)
    return RuleCase(rule, process, rule.plan, mean, process.space.shape, {"stays": False, "per_site": False})


def sites(rule: Any, kernel: Any = UNIFORM, plan: Any = None, **options: Any) -> RuleCase:
    process, oracle, _ = chain(kernel)
    return RuleCase(rule, process, Grid(uniform_grid(4)) if plan is None else plan, oracle.denoiser(), (3,), options)


def unmask(plan: Any) -> RuleCase:
    return sites(Unmask(), MASK, plan)


def info_gain() -> RuleCase:
    plan = InfoGain()
    return sites(Unmask(), MASK, plan, transforms=(plan,))


def trapezoidal() -> RuleCase:
    rule = Trapezoidal(uniform_grid(3))
    return sites(rule, UNIFORM, rule.plan)


def both(process_of: Callable, **options: Any) -> RuleCase:
    """Uniformisation: plan and rule in one."""
    process, _, _ = chain(UNIFORM)
    rule = process_of(process)
    return sites(rule, UNIFORM, rule, **options)


def curved(rule: Any, case: Any, density: Callable, shape: tuple[int, ...]) -> RuleCase:
    denoiser = ManifoldDatasetDenoiser(case.process, density, case.x0[:4]).denoiser
    return RuleCase(rule, case.process, Grid(uniform_grid(4)), denoiser, shape)


def bridge() -> RuleCase:
    process = LogBridge(Torus(2))
    data = points(Torus(2))
    pull = Denoiser(lambda x, t, condition: process.site.log(x, data[:1].expand_as(x)), Kind.TANGENT)
    return RuleCase(RetractedBridge(), process, Grid(uniform_grid(4)), pull, (2,))


def product() -> RuleCase:
    process, oracle, _ = chain(UNIFORM)
    first = mixture(torch.tensor([0.1, 0.2, 0.05]))
    whole = ProductProcess({"a": GaussianProcess(Euclidean((2,)), VP), "b": process})

    def function(x: dict[str, Tensor], t: dict[str, Tensor], condition: object) -> dict[str, Tensor]:
        return {"a": first(x["a"], t["a"]), "b": oracle.posterior(x["b"], t["b"])}

    rule = FactorRule({"a": TableRule(ancestral(VP, LEVELS)), "b": Ancestral()})
    denoiser = Denoiser(function, {"a": Kind.MEAN, "b": Kind.LOGITS})
    return RuleCase(rule, whole, Grid(LEVELS), denoiser, {"a": (2,), "b": (3,)}, {"stays": False})


SOLVERS: dict[str, Callable] = {
    "ddim": ddim,
    "ddim-eta": functools.partial(ddim, eta=0.5),
    "ancestral": ancestral,
    "analytic-dpm": functools.partial(analytic_dpm, posterior_variance=variance),
    "heun": heun,
    "deis": deis,
    "dpmpp-2m": dpmpp_2m,
    "dpmpp-2m-sde": dpmpp_2m_sde,
    "dpmpp-3m": dpmpp_3m,
    "adams-2": functools.partial(exponential_adams, order=2),
    "sa-solver": functools.partial(sa_solver, order=2),
    "unipc": functools.partial(unipc, order=2),
}

RULES: dict[str, Callable[[], RuleCase]] = {
    **{f"table-{name}": functools.partial(table, solver) for name, solver in SOLVERS.items()},
    "adaptive": adaptive,
    "bdia": bdia,
    "jump": jump,
    "jump-so3": lambda: curved(Jump(), geodesic(SO3()), contracted_uniform, (4,)),
    "modes-unipc": modes,
    "ancestral-uniform": lambda: sites(Ancestral()),
    "ancestral-mask": lambda: sites(Ancestral(), MASK),
    "ancestral-tree": lambda: sites(Ancestral(), TREE),
    "tau-leaping": lambda: sites(TauLeaping()),
    "project-and-noise": lambda: sites(ProjectAndNoise(), stays=False),
    "psi": lambda: sites(Psi(0.5), stays=False),
    "remdm-capped": lambda: sites(Psi(remdm_capped(MASK.survivals[0], 0.2)), MASK, stays=False),
    "remdm-rescaled": lambda: sites(Psi(remdm_rescaled(MASK.survivals[0], 0.2)), MASK, stays=False),
    "gat": lambda: sites(gat(0.5)),
    "campbell": lambda: sites(campbell(0.5)),
    "defog": lambda: sites(defog(0.5, 0.1), plan=Grid(polydec_grid(4))),
    "trapezoidal": trapezoidal,
    "uniformisation-mixture": lambda: both(lambda process: Uniformisation(process, 0.2), stays=False),
    "uniformisation-minimal": lambda: both(lambda p: Uniformisation(p, 0.2, MinimalFlow()), stays=False),
    "unmask-random": lambda: unmask(RandomOrder()),
    "unmask-pairs": lambda: unmask(RandomOrder(2)),
    "unmask-first-hitting": lambda: unmask(FirstHitting(MASK.survivals[0])),
    "unmask-minimum-entropy": lambda: unmask(MinimumEntropy()),
    "unmask-entropy-bounded": lambda: unmask(EntropyBounded(0.5)),
    "unmask-confidence": lambda: unmask(Confidence()),
    "unmask-information-gain": info_gain,
    "retracted-1-so3": lambda: curved(Retracted(1), geodesic(SO3()), contracted_uniform, (4,)),
    "retracted-2-torus": lambda: curved(Retracted(2), geodesic(Torus(2)), contracted_uniform, (2,)),
    "retracted-heat": lambda: curved(
        RetractedHeat(0.0), heat(WrappedNormal(Torus(2)), Torus(2), 12.0), HeatProcess.log_density, (2,)
    ),
    "retracted-heat-noisy": lambda: curved(
        RetractedHeat(1.0), heat(WrappedNormal(Torus(2)), Torus(2), 12.0), HeatProcess.log_density, (2,)
    ),
    "retracted-bridge": bridge,
    "product": product,
}
