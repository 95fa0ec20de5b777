"""Audit of the discrete rules: exact error against network calls, with right and wrong denoisers.

A chain of three sites with three classes is small enough to enumerate, and large enough that sites depend on each
other. Every row is the total variation distance between the data and the law that a rule makes of them, without a
draw. With an exact denoiser this is the error of the rule. With one whose ``log F`` carries noise both errors meet, and
rules that return to sites already decided can win over those that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.corrupted import corrupted
from scidiff.denoise.enumerated import Enumerated, markov_chain
from scidiff.process.kernels import Kernel, LevelKernel, mask
from scidiff.sample.discrete.correctors import LooGibbs
from scidiff.sample.discrete.ctmc import Ancestral, ProjectAndNoise, Psi, SiteRule, TauLeaping, Unmask
from scidiff.sample.discrete.discrete_flow import campbell, defog, gat, polydec_grid
from scidiff.sample.discrete.exact_laws import ExactLaws
from scidiff.sample.discrete.predictor_corrector import ForwardBackward
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import Uniformisation
from scidiff.sample.grids import uniform_grid

__all__ = ["AuditRow", "audit_chain", "audit_figure", "audit_rules"]

Trial = Callable[[ExactLaws, int], tuple[Tensor, float]]
_INITIAL = (0.5, 0.3, 0.2)
_TRANSITION = ((0.8, 0.15, 0.05), (0.1, 0.75, 0.15), (0.3, 0.1, 0.6))


@dataclass(frozen=True)
class AuditRow:
    """One run of one rule.

    Parameters
    ----------
    rule
        Name.
    label
        What the rule claims with an exact denoiser.
    citation
        Where it was published.
    corruption
        Standard deviation of the noise on ``log F``, in nats.
    calls
        Network calls per sample; the mean number where it is random.
    tv
        Total variation distance to the data.
    """

    rule: str
    label: str
    citation: str
    corruption: float
    calls: float
    tv: float


def audit_chain(length: int = 3) -> Tensor:
    """Law of the Markov chain of the audit, three classes, shape ``(3,) * length``."""
    initial, transition = (torch.tensor(v, dtype=torch.float64) for v in (_INITIAL, _TRANSITION))
    return markov_chain(initial, transition, length)


def audit_rules(
    kernel: Kernel | None = None,
    *,
    table: Tensor | None = None,
    calls: Sequence[int] = (4, 8, 16, 32),
    corruptions: Sequence[float] = (0.0, 0.3),
    seed: int = 0,
) -> list[AuditRow]:
    """Run every rule that fits the kernel, at about equal calls.

    Parameters
    ----------
    kernel
        Noise of each site; masks by default.
    table
        Law of the data, shape ``(K,) * d`` with few states in all; that of `audit_chain` by default.
    calls
        Budgets of network calls, each at least 4. Rules of two calls a step make half the steps.
    corruptions
        Sizes of the noise on ``log F`` in nats; 0 is the exact denoiser.
    seed
        Seed of the corruption.

    Returns
    -------
    list of AuditRow
        One row for each rule, budget and size of the noise.
    """
    kernel, table = kernel or mask(3), audit_chain() if table is None else table
    rows = []
    for scale in corruptions:
        exact = ExactLaws(table, kernel)
        denoiser = corrupted(Enumerated(table, kernel).denoiser(), exact.process, scale, seed=seed)
        laws = ExactLaws(table, kernel, denoiser)
        for name, (rule, trial) in _trials(kernel, laws).items():
            seen = set()
            # a corrector that keeps the law does not mend the steps between which it acts
            label = Ancestral.label if name.startswith("ancestral") else rule.label
            for budget in calls:
                law, used = trial(laws, budget)
                if used not in seen:
                    rows.append(AuditRow(name, label, rule.citation, scale, used, laws.tv(law)))
                seen.add(used)
    return rows


def _trials(kernel: Kernel, laws: ExactLaws) -> dict[str, tuple[Any, Trial]]:
    """Rules that fit a kernel, with how to spend a budget of calls on them."""
    rules: dict[str, SiteRule] = {
        "ancestral": Ancestral(),
        "tau-leaping": TauLeaping(),
        "project and noise": ProjectAndNoise(),
        "psi 0.9": Psi(0.9),
        "R*": campbell(),
        "R* + R^DB": campbell(0.5),
    }
    trials: dict[str, tuple[Any, Trial]] = {name: (rule, _plain(rule)) for name, rule in rules.items()}
    trials["DeFoG"] = defog(), _plain(defog(), polydec_grid)
    trials["theta-trapezoidal"] = Trapezoidal(uniform_grid(2)), _trapezoidal
    corrector = ForwardBackward(lambda t: 0.1 * t)
    trials["ancestral, R + R^"] = corrector, _corrected(corrector.probs, alone=False)
    one_level = isinstance(kernel, LevelKernel) and len(kernel.survivals) == 1
    if one_level:
        trials["mixture velocity"] = gat(), _plain(gat())
        trials["uniformisation"] = Uniformisation(laws.process), _uniformised
    if kernel.states == kernel.clean:
        trials["ancestral, LOO-Gibbs"] = LooGibbs(), _corrected(LooGibbs().probs, alone=True)
    if one_level and kernel.states == kernel.clean + 1:
        trials["first hitting"] = Unmask(), lambda laws, calls: (laws.unmask(Unmask().probs), float(laws.length))
    return trials


def _plain(rule: SiteRule, grid: Callable[[int], Tensor] = uniform_grid) -> Trial:
    return lambda laws, calls: (laws.grid(rule.probs, grid(calls)), float(calls))


def _corrected(corrector: Any, *, alone: bool) -> Trial:
    """Half the calls for steps, half for a corrector after all but the last."""

    def trial(laws: ExactLaws, calls: int) -> tuple[Tensor, float]:
        steps = (calls + 1) // 2
        after = lambda law, t: laws.correct(law, corrector, t, alone=alone)  # noqa: E731
        return laws.grid(Ancestral().probs, uniform_grid(steps), after), 2.0 * steps - 1

    return trial


def _trapezoidal(laws: ExactLaws, calls: int) -> tuple[Tensor, float]:
    rule = Trapezoidal(uniform_grid((calls + 1) // 2))
    return laws.trapezoidal(rule), float(rule.plan.steps)


def _uniformised(laws: ExactLaws, calls: int) -> tuple[Tensor, float]:
    """Floor at which the mean number of calls is the budget; the last one draws from ``F``."""
    bound = Uniformisation(laws.process).bound
    depth = bound.depth(torch.tensor(1.0, dtype=torch.float64)) - (calls - 1) / laws.length
    rule = Uniformisation(laws.process, floor=float(bound.time(depth)))
    law = laws.uniformised(rule)
    return laws.step(law.clamp_min(0.0), Ancestral().probs, rule.floor, 0.0), laws.length * rule.expected_calls + 1


def audit_figure(rows: Sequence[AuditRow], *, title: str = "") -> Any:
    """Draw the distance against the calls, one panel per corruption; returns a matplotlib figure.

    Parameters
    ----------
    rows
        Rows of `audit_rules`.
    title
        Title of the figure.
    """
    from matplotlib.figure import Figure

    panels = sorted({row.corruption for row in rows})
    names = list(dict.fromkeys(row.rule for row in rows))
    figure = Figure(figsize=(5.0 * len(panels) + 2.0, 4.5), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, scale in zip(axes, panels, strict=True):
        for k, name in enumerate(names):
            line = sorted((r.calls, max(r.tv, 1e-6)) for r in rows if r.rule == name and r.corruption == scale)
            style: Mapping[str, Any] = {"marker": "osv^D*"[k % 6], "color": f"C{k % 10}", "markersize": 4}
            axis.loglog(*zip(*line, strict=True), label=name, **style)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set(xlabel="network calls", title="exact denoiser" if scale == 0 else f"log-noise {scale:g}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("total variation distance (floor 1e-6)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(title)
    return figure
