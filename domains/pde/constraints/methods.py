"""The methods of the field under one interface: each says which parts of the loop it is made of.

    method                 transform                    rule                   label
    ExactConditioning      metric of Cov[x_0 | x_t]     UniPC                  exact for Gaussian data
    GaussNewton            the same, any h              UniPC                  biased
    ECI                    Euclidean correction         interpolation          biased
    PCFM                   Euclidean, one Newton step   interpolation          biased
    PDM                    -                            projected Langevin     biased
    DiffusionPDE           gradients of norms           Euler                  biased
    FunDPS                 gradients of squares         Euler                  biased
    DFlow                  -                            Euler, L-BFGS outside  exact for Gaussian data
    EndProjectionMethod    the sample alone             Euler                  exact for Gaussian data in their metric
    CoCoGen                -                            Euler, a corrector     biased

``exact for Gaussian data`` means: with the exact denoiser and an affine constraint, up to the error of the solver.
Published samplers run on the grid they were published with, uniform in the clock of the straight path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.guidance.constraints import LinearConstraint
from scidiff.guidance.covariances import Covariance, Tweedie
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Noise
from scidiff.sample.grids import log_snr_grid
from scidiff.sample.state import RunState

from .base import Affine, Constraint
from .consistency import ConsistencySteps, safe_step
from .corrections import Correction, EndProjection, Polish
from .guidance import NormGuidance, SquareGuidance
from .interface import Method, MultiStep, Parts, Solver, euler
from .interpolation import Interpolation, KeepEnds, mixing_grid
from .langevin import ProjectedLangevin, annealed_plan
from .newton import Action, identity
from .source import minimise_source

__all__ = [
    "ECI",
    "PCFM",
    "PDM",
    "CoCoGen",
    "DFlow",
    "DiffusionPDE",
    "EndProjectionMethod",
    "ExactConditioning",
    "FunDPS",
    "GaussNewton",
]

_NETWORK = Tweedie()
_MULTISTEP = MultiStep()


@dataclass(frozen=True, eq=False)
class ExactConditioning(Method):
    """Affine constraints in the metric of ``Cov[x_0 | x_t]``, by the transform of the core.

    Parameters
    ----------
    covariance
        That covariance; by default the network's own.
    solver
        Makes the rule.
    """

    covariance: Covariance = _NETWORK
    solver: Solver = _MULTISTEP
    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "derived here"

    @property
    def exact_for(self) -> str:
        """As the covariance says."""
        return self.covariance.exact_for

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """UniPC with the linear constraint of the core."""
        if not isinstance(constraint, Affine):
            raise ConfigError(f"a {type(constraint).__name__} came; expected an Affine constraint: use GaussNewton")
        rule = self.solver(process, steps)
        return Parts(
            rule, rule.plan, (LinearConstraint(constraint.operator, constraint.b, self.covariance), Polish(constraint))
        )


@dataclass(frozen=True, eq=False)
class GaussNewton(Method):
    """Any constraint in the metric of ``Cov[x_0 | x_t]``: conditioning where the constraint is affine.

    Parameters
    ----------
    covariance, solver
        As for `ExactConditioning`.
    newton
        Gauss-Newton steps for each prediction.
    action
        Metric of the polish.
    reference
        Field of the chord iteration, see `Polish`; Gauss-Newton by default.
    noise
        Standard deviation granted to the equations within the steps, see `Correction`.
    """

    covariance: Covariance = _NETWORK
    solver: Solver = _MULTISTEP
    newton: int = 2
    action: Action = identity
    reference: Tensor | None = None
    noise: float = 0.0
    citation: ClassVar[str] = "derived here"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """UniPC with corrections in the metric."""
        rule = self.solver(process, steps)
        newton = 1 if constraint.affine else self.newton
        step = Correction(
            constraint,
            self.action,
            40,
            reference=self.reference,
            covariance=self.covariance,
            newton=newton,
            noise=self.noise,
        )
        return Parts(rule, rule.plan, (step, Polish(constraint)))


@dataclass(frozen=True, eq=False)
class ECI(Method):
    """Extrapolation, correction, interpolation, with mixing and resampling.

    Parameters
    ----------
    mix
        Calls at each time.
    resample
        Calls between fresh draws of the prior; 0 for none.
    newton
        Gauss-Newton steps where the constraint is not affine, for which the publication has no correction.
    """

    mix: int = 1
    resample: int = 0
    newton: int = 1
    citation: ClassVar[str] = "arXiv:2412.01786"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Euclidean corrections and interpolation."""
        step = Correction(constraint, newton=self.newton)
        return Parts(Interpolation(self.resample), mixing_grid(steps, self.mix), (KeepEnds(), step))


@dataclass(frozen=True, eq=False)
class PCFM(Method):
    """Physics-constrained flow matching.

    Parameters
    ----------
    nearest
        Whether the projection has the least-squares form, or the root form.
    newton
        Newton steps of each projection; 1 as published.
    penalty
        ``lam`` of the relaxed step; 0 leaves it out.
    """

    nearest: bool = True
    newton: int = 1
    penalty: float = 0.0
    citation: ClassVar[str] = "arXiv:2506.04171"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Newton steps and interpolation, with the relaxed step where there is a penalty."""
        step = Correction(constraint, newton=self.newton, nearest=self.nearest)
        rule = Interpolation(0, self.penalty, constraint)
        return Parts(rule, mixing_grid(steps, 1), (KeepEnds(), step))


@dataclass(frozen=True, eq=False)
class PDM(Method):
    """Projected diffusion models; `steps` counts noise levels.

    Parameters
    ----------
    inner
        Langevin steps at each level.
    size
        Their length in units of ``tau^2``.
    floor, ceiling
        Noise-to-signal ratios of the last and first level.
    """

    inner: int = 1
    size: float = 0.1
    floor: float = 0.002
    ceiling: float = 80.0
    citation: ClassVar[str] = "arXiv:2402.03559"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Projected Langevin steps on levels in geometric order."""
        levels = log_snr_grid(process.schedule, steps, floor=self.floor, ceiling=self.ceiling)
        return Parts(ProjectedLangevin(constraint, self.size), annealed_plan(levels, self.inner), (Polish(constraint),))


@dataclass(frozen=True, eq=False)
class DiffusionPDE(Method):
    """Gradient guidance by norms; the constraint is taken as the observations.

    Parameters
    ----------
    observe, physics
        ``z_obs`` and ``z_pde``.
    equation
        Residual of the equation.
    """

    observe: float = 1.0
    physics: float = 0.0
    equation: Constraint | None = None
    citation: ClassVar[str] = "arXiv:2406.17763"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Euler steps with guidance."""
        rule = euler(process, steps)
        guidance = NormGuidance(rule, constraint, self.equation, self.observe, self.physics)
        return Parts(rule, rule.plan, (guidance,))


@dataclass(frozen=True, eq=False)
class FunDPS(Method):
    """Gradient guidance by squares; the constraint is taken as the observations.

    Parameters
    ----------
    weight
        ``z``.
    """

    weight: float = 1e3
    citation: ClassVar[str] = "arXiv:2505.17004"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Euler steps with guidance."""
        rule = euler(process, steps)
        return Parts(rule, rule.plan, (SquareGuidance(rule, constraint, self.weight),))


@dataclass(frozen=True, eq=False)
class DFlow(Method):
    """Optimise the draw of the prior; for reference.

    Parameters
    ----------
    iterations
        Iterations of L-BFGS.
    """

    iterations: int = 20
    label: ClassVar[str] = "exact"
    exact_for: ClassVar[str] = "Gaussian data, at the minimum"
    citation: ClassVar[str] = "arXiv:2402.14017"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Euler steps of one run."""
        rule = euler(process, steps)
        return Parts(rule, rule.plan)

    def draw(
        self,
        denoiser: Denoiser,
        process: GaussianProcess,
        constraint: Constraint,
        *,
        steps: int,
        noise: Noise,
        start: RunState | None = None,
        condition: Any = None,
    ) -> RunState:
        """Minimise over draws of the prior; parameters as in `Method.draw`."""
        begin = RunState.start(process, noise, constraint.domain) if start is None else start
        bound = Denoiser(lambda x, t, _: denoiser(x, t, condition), denoiser.kind)
        return minimise_source(bound, process, euler(process, steps), constraint, begin, self.iterations)


@dataclass(frozen=True, eq=False)
class EndProjectionMethod(Method):
    """Draw freely and project the sample.

    Parameters
    ----------
    action
        Metric ``v -> C v``; Euclidean by default.
    exact_for
        Data for which the metric makes it exact.
    """

    action: Action = identity
    exact_for: str = ""
    citation: ClassVar[str] = "doi:10.2307/1425829"

    @property
    def label(self) -> str:
        """Exact where the metric is that of the data."""
        return "exact" if self.exact_for else "biased"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Euler steps and a projection at the end."""
        rule = euler(process, steps)
        return Parts(rule, rule.plan, (EndProjection(constraint, self.action),))


@dataclass(frozen=True, eq=False)
class CoCoGen(Method):
    """Gradient steps on the squared residual near the end.

    Parameters
    ----------
    size
        ``gamma``; half the largest stable one by default.
    during, after
        Gradient steps during the run and after it.
    """

    size: float | None = None
    during: int = 20
    after: int = 20
    citation: ClassVar[str] = "arXiv:2312.10527"

    def parts(self, constraint: Constraint, process: GaussianProcess, steps: int) -> Parts:
        """Euler steps and the corrector."""
        rule = euler(process, steps)
        size = safe_step(constraint) if self.size is None else self.size
        corrector = ConsistencySteps(constraint, size, steps, min(self.during, steps), self.after)
        return Parts(rule, rule.plan, (), (corrector,))
