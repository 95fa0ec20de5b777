"""A guided run that says what its samples are worth.

`guided` runs the one loop with a tilt, and particles if there are any, and returns the samples together with what can
be known of them: weights, effective size, ancestors and evidence of every group, the samples whose reward failed, the
label of the method, the spread of its sampler, and how the same method does where the posterior is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.guidance.discrete import DiscreteTilt
from scidiff.guidance.oracle import OracleCalibration, calibrate_estimator
from scidiff.guidance.particles import Particles, effective_size
from scidiff.guidance.spread import table_spread
from scidiff.guidance.tilt import Tilt
from scidiff.process.base import Process, ProductProcess
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Noise
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.loop import Plan, Rule, run
from scidiff.sample.model import Policy
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GuidedRun", "guided", "plot_guided"]

_SPREAD = 0.02
_FEW = 0.1
_MOST_DIM = 5


@dataclass(frozen=True, eq=False)
class GuidedRun:
    """Samples of a guided run, and what they are worth.

    Parameters
    ----------
    state
        The last state; ``x`` holds the samples, ``calls`` the ledger.
    weights
        Weight of every sample, sum 1 in each group; 0 for a sample that failed. Shape ``(groups, size)``; without
        particles one group of equal weights.
    ess
        Effective sample size of each group, shape ``(groups,)``.
    ancestors
        Particles of the start that have descendants, shape ``(groups,)``; None without particles.
    log_normaliser
        Estimate of ``log E exp r`` of each group, shape ``(groups,)``; None without particles.
    failed
        By reward, the samples for which it, or its gradient, was not finite in some step, shape ``(samples,)``.
    label
        The weakest of the rule, the plan, the transforms and the tilt, whose place particles take; a part without a
        label that changes the samples counts as biased, and so does a tilt that neither steers nor has particles.
    citation
        Of the method.
    spread
        Variance that the sampler itself makes of N(0, 1) data, relative to the truth; None where it is not a table.
    calibration
        The method on its oracle; None where it was not asked for, or there is none.
    warnings
        What should be known before the samples are used.
    particles
        The particles of the run.
    """

    state: RunState
    weights: Tensor
    ess: Tensor
    ancestors: Tensor | None
    log_normaliser: Tensor | None
    failed: Mapping[str, Tensor]
    label: str
    citation: str
    spread: float | None
    calibration: OracleCalibration | None
    warnings: tuple[str, ...]
    particles: Particles | None

    @property
    def status(self) -> list[str]:
        """``ok``, or why not, for every sample."""
        words = ["ok"] * len(self.state)
        for row in torch.nonzero(self.weights.flatten() == 0)[:, 0].tolist():
            words[row] = "weight 0"
        for name, mask in self.failed.items():
            for row in torch.nonzero(mask)[:, 0].tolist():
                words[row] = f"{name} was not finite"
        for row in torch.nonzero(~_finite(self.state.x))[:, 0].tolist():
            words[row] = "the state is not finite"
        return words

    def draws(self) -> RunState:
        """One sample of each group, drawn by weight; without particles all samples."""
        return self.state if self.particles is None else self.particles.pick(self.state)

    def __str__(self) -> str:
        """A few lines."""
        groups, size = self.weights.shape
        calls = float(self.state.calls.double().mean())
        lines = [
            f"{groups * size} samples in {groups} group{'s' * (groups > 1)}, {calls:g} calls each; "
            f"{self.label} ({self.citation})",
            f"effective size {float(self.ess.median()):.3g} of {size} (median of the groups)",
        ]
        if self.ancestors is not None and self.log_normaliser is not None:
            lines.append(
                f"ancestors {float(self.ancestors.double().median()):g} (median), log normaliser "
                f"{float(self.log_normaliser.median()):.4g} (median)"
            )
        lines.extend(f"failed: {int(mask.sum())} by '{name}'" for name, mask in self.failed.items() if bool(mask.any()))
        lines.extend([] if self.calibration is None else [str(self.calibration)])
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])

    def plot(self) -> Figure:
        """Draw weights, effective sizes and coverage; see `plot_guided`."""
        return plot_guided(self)


def guided(
    denoiser: Denoiser,
    process: Process | ProductProcess,
    rule: Rule,
    plan: Plan,
    tilt: Tilt | DiscreteTilt,
    *,
    noise: Noise,
    shape: Any,
    particles: Particles | None = None,
    condition: Any = None,
    free: State | None = None,
    clean: State | None = None,
    before: Sequence[Transform] = (),
    after: Sequence[Transform] = (),
    policy: Policy | None = None,
    calibrate: bool = True,
    seconds: float = 20.0,
    progress: Callable[[RunState], None] | None = None,
) -> GuidedRun:
    """Draw samples of a tilted law, and say what they are worth.

    Parameters
    ----------
    denoiser, process, rule, plan, noise, shape, condition, free, clean, policy, progress
        As for `scidiff.sample.run`.
    tilt
        Reward and estimator.
    particles
        Particles over the same tilt and rule.
    before, after
        Further transforms before the tilt, e.g. classifier-free guidance, and after it, e.g. constraints.
    calibrate
        Whether the method is measured on its oracle, a mixture of the dimension of the event, at most 5, with the
        rule, plan and particles of this run. Tilts on finite sets have none.
    seconds
        Time for that; a method once measured is not measured again.

    Returns
    -------
    GuidedRun
        Samples, weights, and what they are worth.

    Raises
    ------
    ConfigError
        If the particles belong to another tilt, or the samples do not fill whole groups.
    """
    if particles is not None and particles.tilt is not tilt:
        raise ConfigError("the particles were made for another tilt; make them with the one that is passed here")
    if particles is not None and len(noise) % particles.size:
        raise ConfigError(f"{len(noise)} samples came for groups of {particles.size}; expected whole groups")
    last = () if particles is None else (particles,)
    label = _weakest(rule, plan, policy, (*before, *after), tilt, particles)
    begin: dict[str, Any] = {"noise": noise, "shape": shape, "free": free, "clean": clean}
    more: dict[str, Any] = {"condition": condition, "policy": policy, "progress": progress}
    state = run(denoiser, process, rule, plan, **begin, **more, transforms=(*before, tilt, *after, *last))
    table = rule.table if isinstance(rule, TableRule) else None
    found = _on_oracle(process, rule, plan, tilt, particles, shape, seconds) if calibrate else None
    report = _report(state, tilt, particles, None if table is None else table_spread(table), found, label)
    return replace(report, warnings=(*report.warnings, *_noise_and_order(tilt, table)))


def _on_oracle(
    process: Process | ProductProcess,
    rule: Rule,
    plan: Plan,
    tilt: Tilt | DiscreteTilt,
    particles: Particles | None,
    shape: Sequence[int],
    seconds: float,
) -> OracleCalibration | None:
    if not isinstance(process, GaussianProcess) or not isinstance(tilt, Tilt):
        return None
    dim = min(int(torch.Size(shape).numel()), _MOST_DIM)
    same = None if particles is None else lambda other: replace(particles, tilt=other)
    return calibrate_estimator(
        tilt.estimator,
        process.schedule,
        rule,
        plan,
        dim=max(dim, 1),
        guide=tilt.guide,
        particles=same,
        seconds=seconds,
    )


def _report(
    state: RunState,
    tilt: Tilt | DiscreteTilt,
    particles: Particles | None,
    spread: float | None,
    calibration: OracleCalibration | None,
    label: str,
) -> GuidedRun:
    failed = {name.removeprefix("failed/"): mask for name, mask in state.records.items() if name.startswith("failed/")}
    size = len(state) if particles is None else particles.size
    log_w = state.log_w.reshape(-1, size)
    alive = log_w.amax(1, keepdim=True) > -torch.inf
    weights = torch.where(alive, torch.softmax(torch.where(alive, log_w, 0.0), 1), 0.0)
    cite = tilt.estimator.citation
    found = GuidedRun(
        state=state,
        weights=weights,
        ess=effective_size(log_w),
        ancestors=None if particles is None else particles.ancestors(state),
        log_normaliser=None if particles is None else particles.log_normaliser(state),
        failed=failed,
        label=label,
        citation=cite if particles is None else f"{particles.citation} with the twist of {cite}",
        spread=spread,
        calibration=calibration,
        warnings=(),
        particles=particles,
    )
    return replace(found, warnings=tuple(_warnings(found)))


def _weakest(
    rule: Rule,
    plan: Plan,
    policy: Policy | None,
    transforms: Sequence[Transform],
    tilt: Tilt | DiscreteTilt,
    particles: Particles | None,
) -> str:
    """Weakest label of the parts of a run: ``biased``, the least order, or ``exact``."""
    target = particles.label if particles is not None else tilt.label if tilt.guide else "biased"
    labels = [target, *(getattr(part, "label", "biased") for part in (rule, *transforms))]
    labels.extend(getattr(part, "label", "exact") for part in (plan, policy))
    if "biased" in labels:
        return "biased"
    orders = [label for label in labels if label != "exact"]
    return min(orders, key=lambda label: float(label[len("consistent(") : -1]), default="exact")


def _noise_and_order(tilt: Tilt | DiscreteTilt, table: Table | None) -> list[str]:
    if table is None or table.order <= 2 or not tilt.stochastic:
        return []
    return [f"the tilt draws noise, which '{table.name}' of order {table.order} enlarges; use a rule of order 1 or 2"]


def _warnings(found: GuidedRun) -> list[str]:
    out = []
    for name, mask in found.failed.items():
        if bool(mask.any()):
            rows = torch.nonzero(mask)[:, 0].tolist()
            out.append(f"'{name}' was not finite for {len(rows)} samples ({rows[:5]}...); they were not guided there")
    broken = int((~_finite(found.state.x)).sum())
    if broken:
        out.append(f"{broken} samples are not finite; look at the network and the reward")
    if found.spread is not None and abs(found.spread - 1) > _SPREAD:
        word = "under" if found.spread < 1 else "over"
        out.append(
            f"the sampler is {word}-dispersed: it makes a variance of {found.spread:.3f} of N(0, 1) data; take more "
            "steps, analytic_dpm, or a solver of higher order"
        )
    if found.ancestors is not None:
        size = found.weights.shape[1]
        poor = int((found.ess < _FEW * size).sum())
        if poor:
            out.append(f"{poor} groups have an effective size below {_FEW:.0%} of {size}; use more particles")
        alone = int((found.ancestors <= 2).sum()) if size > 4 else 0
        if alone:
            out.append(f"{alone} groups go back to one or two ancestors; their particles are not independent")
    if found.calibration is not None and not found.calibration.interval[0] <= 0.9 <= found.calibration.interval[1]:
        out.append(
            f"on the oracle 90 % intervals cover {100 * found.calibration.coverage:.0f} %; do not read spreads of "
            "these samples as uncertainty"
        )
    return out


def plot_guided(found: GuidedRun) -> Figure:
    """Draw the weights of the groups, their effective sizes, and the coverage on the oracle.

    Parameters
    ----------
    found
        A guided run.
    """
    from matplotlib.figure import Figure

    panels = 2 + (found.calibration is not None)
    figure = Figure(figsize=(3.4 * panels, 3), layout="constrained")
    axes = figure.subplots(1, panels)
    size = found.weights.shape[1]
    ordered = found.weights.sort(1, descending=True).values.cpu()
    axes[0].plot(range(1, size + 1), ordered[:50].T.numpy(), color="C0", alpha=0.3)
    axes[0].axhline(1 / size, color="black", linewidth=0.8)
    axes[0].set(xlabel="rank in the group", ylabel="weight", ylim=(0, None))
    axes[1].hist(found.ess.cpu().numpy(), bins=20, range=(0, size * 1.0001))
    axes[1].set(xlabel=f"effective size of {size}", ylabel="groups")
    if found.calibration is not None:
        c = found.calibration
        error = [[max(0.0, c.coverage - c.interval[0])], [max(0.0, c.interval[1] - c.coverage)]]
        axes[2].errorbar([0], [c.coverage], yerr=error, fmt="o", capsize=4)
        axes[2].axhline(0.9, color="black", linewidth=0.8)
        axes[2].set(xticks=[], ylim=(0, 1.02), ylabel="coverage of 90 % intervals, oracle")
        axes[2].set_title(f"sliced W2 = {c.ratio:.2f} floors", fontsize="medium")
    return figure


def _finite(x: State) -> Tensor:
    """True for the samples whose state is finite, shape ``(batch,)``."""
    parts = [x] if isinstance(x, Tensor) else list(x.values())
    return torch.stack([part.flatten(1).isfinite().all(1) for part in parts]).all(0)
