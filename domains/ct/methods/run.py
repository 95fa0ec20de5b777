"""``reconstruct(scan, prior, method)``: one call for every method, classical and by diffusion.

A diffusion method is run by the one loop of the core (`scidiff.sample.run`) from its recipe; a classical one comes as
one image, with the same report. Views that are held out are seen by no method and judge the mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError, UnknownNameError
from scidiff.io.memory import peak_memory
from scidiff.random import Noise
from scidiff.sample.loop import run
from scidiff.sample.state import RunState

from ..classical import METHODS as CLASSICAL
from ..grid import Grid
from ..priors.prior import Prior
from ..reconstruction import PosteriorImages
from ..scan import Scan
from .conditional import Conditional, White
from .problem import Problem, turned
from .recipes import Recipe
from .registry import LATENT, METHODS, Method, refuse_latent

__all__ = ["CONTRAST", "find_prior", "reconstruct"]

CONTRAST = 0.05
"""Contrast of the structures that the measured part is split at, in units of the prior: 50 HU for that of water."""

_FAR = 1.6


def find_prior(prior: Prior | str | Path, device: str = "cpu") -> Prior:
    """A prior by name or path; ``"gaussian"`` is the analytic one.

    Parameters
    ----------
    prior
        The prior itself, its name, or its path.
    device
        Where the network of one that is loaded runs.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    ConfigError
        If a device is named for one that is not loaded.
    """
    if device != "cpu" and (isinstance(prior, Prior) or str(prior) == "gaussian"):
        raise ConfigError(f"device '{device}' came with a prior that loads no network; leave it out")
    if isinstance(prior, Prior):
        return prior
    if str(prior) == "gaussian":
        from ..priors.gaussian import GaussianPrior

        return GaussianPrior()
    from ..priors.learned import bundled, load_prior

    if str(prior) not in bundled() and not str(prior).endswith(".safetensors"):
        raise UnknownNameError("prior", str(prior), ["gaussian", *bundled()])
    return load_prior(prior, device=device)


def reconstruct(
    scan: Scan,
    prior: Prior | str | Path = "ct",
    method: str = "posterior",
    *,
    grid: Grid | None = None,
    count: int = 8,
    steps: int = 20,
    seed: int = 0,
    first: int = 0,
    holdout: int = 0,
    unit: float | None = None,
    warm: Tensor | str | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> PosteriorImages:
    """Reconstruct images from a two-dimensional scan.

    Parameters
    ----------
    scan
        The data, with their weights.
    prior
        Law of images; or the name or path of one. Classical methods do not use it.
    method
        A name of `scidiff.domains.ct.methods.METHODS`, or ``fbp``, ``sirt``, ``cgls``, ``pwls``, ``tv``.
    grid
        By default 128 x 128 pixels over the field of view.
    count, steps
        Samples, and noise levels of the run, with one network call each for most methods.
    seed, first
        Seed, and index of the first sample; a sample does not depend on how many are drawn with it.
    holdout
        Number of views, evenly spaced, that no method sees and that judge the mean.
    unit
        Attenuation of ``x = 1`` in 1/mm, where the object has another contrast than the prior's.
    warm
        Image in 1/mm, or name of a classical method, to begin at; with ``top`` near 0.3 few steps do.
    progress
        Called after every step with the number of steps that are done, and of all.
    **options
        Further options of the method, such as ``top`` or ``scale``.

    Raises
    ------
    UnknownNameError, ConfigError, DataError
        If there is no such method or prior, an option is of no use, or the scan is not finite.
    """
    _check(scan, method, count, steps, holdout)
    grid = Grid.square(128, 2 * scan.geometry.field_of_view) if grid is None else grid
    begun, peak = time.perf_counter(), peak_memory()
    kept, held = _held_out(scan, holdout)
    if method in CLASSICAL:
        return _classical(kept, held, grid, method, begun, peak)
    problem = Problem(kept, grid, _fitting(find_prior(prior), grid), unit)
    recipe = _recipe(method, problem, steps, {**options, **_warm(kept, grid, warm, problem.unit)})
    x, calls, found = _run(problem, recipe, seed, range(first, first + count), progress)
    told = METHODS[method]
    facts = {"seed": seed, "first": first, "steps": steps, **found, **_options(options), **_told(told, problem.prior)}
    return _report(problem, held, x, (told.name, told.label), calls, begun, peak, facts)


def _check(scan: Scan, method: str, count: int, steps: int, holdout: int) -> None:
    if method in LATENT:
        refuse_latent(method)
    if method not in METHODS and method not in CLASSICAL:
        raise UnknownNameError("method", method, [*METHODS, *CLASSICAL, *LATENT])
    if scan.geometry.dimension != 2:
        raise ConfigError(
            "the scan is three-dimensional; expected one slice: use reconstruct_volume for parallel beams"
        )
    bad = int((~scan.projections.isfinite()).sum()) + int((~scan.weights.isfinite()).sum())
    if bad:
        raise DataError(f"the scan holds {bad} values that are not finite; mask these rays: weight 0 and value 0")
    if count < 1 or steps < 1 or not 0 <= holdout < scan.geometry.views:
        raise ConfigError(
            f"count {count}, steps {steps}, holdout {holdout} of {scan.geometry.views} views; expected at least 1, "
            "1, and fewer views held out than there are"
        )


def _fitting(prior: Prior, grid: Grid) -> Prior:
    """The prior; pixels far from those that its network has seen are refused."""
    config = getattr(getattr(prior, "network", None), "config", None)
    if config is None:
        return prior
    low, high = config.pixels
    pixel = (grid.lengths[-1] * grid.lengths[-2]) ** 0.5
    if not low / _FAR <= pixel <= high * _FAR:
        raise ConfigError(
            f"the grid has pixels of {pixel:.3g} mm; the prior '{prior.name}' knows {low:.3g} to {high:.3g} mm: choose "
            "another grid, train a prior at this size, or use prior='gaussian'"
        )
    return prior


def _knows_no_direction(prior: Prior) -> bool:
    """Whether a prior was learned from turned and reflected crops."""
    return hasattr(prior, "network")


def _held_out(scan: Scan, holdout: int) -> tuple[Scan, Scan | None]:
    """The scan without some evenly spaced views, and these views."""
    if holdout == 0:
        return scan, None
    views = scan.geometry.views
    chosen = torch.zeros(views, dtype=torch.bool)
    chosen[((torch.arange(holdout, dtype=torch.float64) + 0.5) * views / holdout).long()] = True
    return scan.select(torch.nonzero(~chosen)[:, 0]), scan.select(torch.nonzero(chosen)[:, 0])


def _warm(scan: Scan, grid: Grid, warm: Tensor | str | None, unit: float) -> dict[str, Tensor]:
    """Option of a start, in units of the prior."""
    if warm is None:
        return {}
    if isinstance(warm, str):
        if warm not in CLASSICAL:
            raise UnknownNameError("classical method", warm, CLASSICAL)
        return {"warm": CLASSICAL[warm](scan, grid).image / unit}
    if tuple(warm.shape) != grid.shape:
        raise ConfigError(f"warm has shape {tuple(warm.shape)}; expected that of the grid {grid.shape}")
    return {"warm": warm.double() / unit}


def _recipe(method: str, problem: Problem, steps: int, options: Mapping[str, Any]) -> Recipe:
    try:
        return METHODS[method].build(problem, steps, **options)
    except TypeError as error:
        raise ConfigError(f"method '{method}' does not take these options: {error}") from error


def _told(method: Method, law: Prior) -> dict[str, Any]:
    """What a method and a prior say of themselves."""
    return {"citation": method.citation, "exact_for": method.exact_for, "prior": law.provenance()}


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if isinstance(value, int | float | str)}


def _run(
    problem: Problem, recipe: Recipe, seed: int, rows: range, progress: Callable[[int, int], None] | None
) -> tuple[Tensor, float, dict[str, Any]]:
    """Follow a recipe; the images, calls for each, and what the records say."""
    prior, size = problem.prior, 1 if recipe.particles is None else recipe.particles.size
    noise = Noise.range(seed, len(rows) * size, rows.start * size)
    ahead = int(recipe.led and rows.start > 0)
    noise = Noise.cat([Noise.range(seed, ahead), noise])
    state = RunState.at(recipe.begin(problem, noise), float(prior.time(recipe.top)), noise)
    denoiser = prior.denoiser(problem.grid)
    state = run(
        turned(denoiser) if _knows_no_direction(prior) else denoiser,
        prior.process,
        recipe.rule,
        recipe.rule.plan,
        state=state,
        transforms=recipe.transforms,
        progress=None if progress is None else lambda state: progress(state.i, recipe.rule.table.steps),
    )
    facts: dict[str, Any] = {}
    calls = float(state.calls.double().sum()) / (len(noise) - ahead)
    state = state.take(torch.arange(ahead, len(noise)))
    if recipe.particles is not None:
        from scidiff.guidance.particles import effective_size

        size = recipe.particles.size
        facts["effective_size"] = float(effective_size(state.log_w.reshape(-1, size)).mean())
        facts["ancestors"] = float(recipe.particles.ancestors(state).double().mean())
        state, calls = recipe.particles.pick(state), calls * size
    if "ct/residual" in state.records:
        facts |= {"residual": float(state.records["ct/residual"].max())}
        facts |= {"solver_iterations": float(state.records["ct/iterations"].mean())}
    return state.x.double(), calls, facts


def _classical(kept: Scan, held: Scan | None, grid: Grid, method: str, begun: float, peak: float) -> PosteriorImages:
    result = CLASSICAL[method](kept, grid)
    facts = {"iterations": result.iterations, "converged": result.converged, **_options(result.facts)}
    problem = Problem(kept, grid, _ONE)
    x = result.image[None] / problem.unit
    return _report(problem, held, x, (result.method, "biased"), 0.0, begun, peak, facts)


class _Unit(Prior):
    """Stands where classical methods have no prior: a unit, and nothing else."""

    name = "none"

    def denoiser(self, grid: Grid) -> Any:
        """Refuse."""
        raise ConfigError("a classical method has no prior; choose a method by diffusion")

    def provenance(self) -> dict[str, Any]:
        """Say so."""
        return {"prior": self.name}


_ONE = _Unit()


def _report(
    problem: Problem, held: Scan | None, x: Tensor, told: tuple[str, str], calls: float, begun: float, peak: float,
    facts: Mapping[str, Any],
) -> PosteriorImages:  # fmt: skip
    """Judge images in units of the prior; `told` is the name and the label of the method."""
    seconds = time.perf_counter() - begun
    ok = x.flatten(1).isfinite().all(1)
    if not bool(ok.any()):
        raise DataError(f"method '{told[0]}' left no finite image; lower its scale, or choose 'posterior'")
    good = torch.where(ok[:, None, None], x, 0.0)
    mean = good[ok].mean(0, keepdim=True)
    chi2 = torch.where(ok, problem.chi2(good), torch.inf)
    own = float(problem.chi2(mean)[0])
    measured = Conditional(problem, 0.01 / CONTRAST).seen(mean, White(CONTRAST)).x[0]
    unseen = None
    if held is not None:
        unseen = float(held.chi2(held.operator(problem.grid).apply(problem.unit * mean))[0])
    return PosteriorImages(
        samples=problem.unit * x, grid=problem.grid, method=told[0], label=told[1], chi2=chi2, chi2_mean=own,
        band=problem.scan.interval, spread=float(chi2[ok].mean()) - own, measured=problem.unit * measured,
        held_out=unseen, calls=calls, seconds=seconds, memory=max(0.0, peak_memory() - peak), ok=ok,
        facts={**facts, "unit_per_mm": problem.unit, "edge_mm": list(problem.grid.lengths)},
    )  # fmt: skip
