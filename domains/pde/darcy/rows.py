"""Rows of the benchmark: forward and inverse Darcy from 500 sensors, beside what classical methods reach.

Fields, sensors and draws follow from the seed and are those of no training run. *Forward*: the medium is read, the
error is the relative L2 distance of the head in per cent. *Inverse*: the head is read, the error is the per cent of
cells whose medium is wrong. A single draw, the centre of several (mean head, or the medium of most draws), and the
centre after Gauss-Newton corrections are three rows. What other systems reached at 128 x 128 on their own data is
quoted beside them. Intervals are those of the mean over fields, each with sensors of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from scidiff.analysis.calibration import crps_ensemble
from scidiff.domain import Row
from scidiff.random import Noise

from ..models import load
from ..problems.darcy import Darcy
from ..sensors import Sensors, random_sensors
from .chart import medium
from .classical import coarse_heads, es_mda, heads_at, laplacian_sign, pcn
from .conditions import SIGN_NUGGET, sign_field
from .decode import relative, solve_media
from .model import DarcyModel
from .observations import Observations, Readings
from .refine import gauss_newton, latent_field
from .signs import SignPosterior

__all__ = ["darcy_rows", "rows"]

_FIRST = 2 * 10**6
_SENSORS = 500
_FORWARD, _INVERSE = 2.49, 5.18
_QUOTED = "FunDPS 2.49 / 5.18 (500 calls), DiffusionPDE 6.07 / 7.87 (2000 calls), arXiv:2505.17004, 128 x 128, quoted"
_ROUNDS = (2, 8)
_SWEEPS = 30


@dataclass(frozen=True, eq=False)
class _Case:
    """A field with its sensors."""

    a: np.ndarray
    u: np.ndarray
    medium: Readings
    head: Readings
    seed: int


@dataclass
class _Tally:
    """Errors and seconds of the methods, by name, one number for each field."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, error: float, seconds: float) -> None:
        self.errors.setdefault(name, []).append(error)
        self.seconds.setdefault(name, []).append(seconds)


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of the bundled model: one field without a bar, or sixteen with the slow classical methods."""
    if fast:
        yield from darcy_rows(load("darcy"), 1, (5,), 4, seed, thorough=False)
    else:
        yield from darcy_rows(load("darcy"), 16, (1, 5, 10, 20), 8, seed)


def darcy_rows(
    model: DarcyModel, fields: int, steps: tuple[int, ...], draws: int, seed: int, *, thorough: bool = True
) -> Iterator[Row]:
    """Measure and yield the rows.

    Parameters
    ----------
    model
        The model.
    fields
        Number of fields.
    steps
        Numbers of network calls; the last one is corrected and calibrated.
    draws
        Draws for each field.
    seed
        Seed of fields, sensors and draws.
    thorough
        Measure the slow classical methods too, and hold the errors against what is quoted.
    """
    cases = [_case(model.shape[0], seed, k) for k in range(fields)]
    note = f"{_SENSORS} sensors, {model.shape[0]} x {model.shape[1]}, n = {fields} fields with sensors of their own"
    forward, inverse = _Tally(), _Tally()
    known: dict[str, list[float]] = {}
    for case in cases:
        _forward(model, case, steps, draws, forward, known)
        _inverse(model, case, steps, draws, inverse, known)
        _classical_forward(case, draws, forward)
        _classical_inverse(model, case, inverse, thorough)
    worst = max(known["residual"])
    yield Row("darcy samples: residual", "exact", worst, bar=1e-10, above=False, note=f"{note}; over the source, worst")
    yield from _table("forward", forward, _FORWARD, note, thorough)
    yield from _table("inverse", inverse, _INVERSE, note, thorough)
    for name, values in known.items():
        if name != "residual":
            yield Row(f"darcy {name}", "measured", float(np.mean(values)), interval=_interval(values), note=note)


def _case(size: int, seed: int, number: int) -> _Case:
    """A field of the law, solved, and sensors of medium and head at the same cells."""
    g = Darcy(size).law.field.draw(Noise.range(seed, 1, _FIRST + number), (size, size))
    state = solve_media(g)
    a, u = state["a"][0].numpy(), state["u"][0].numpy()
    index = random_sensors((size, size), min(_SENSORS, size * size // 8), seed + number).index
    at = (index[:, 0], index[:, 1])
    sensors = Sensors(index, (size, size))
    return _Case(a, u, Readings(sensors, a[at]), Readings(sensors, u[at]), seed + number)


def _wrong(media: np.ndarray, a: np.ndarray) -> float:
    """Per cent of wrong cells, averaged over draws."""
    return float(100 * np.mean(media != a))


def _off(heads: np.ndarray, u: np.ndarray) -> float:
    """Relative L2 error in per cent, averaged over draws."""
    return float(100 * relative(heads, np.broadcast_to(u, heads.shape)).mean())


def _forward(
    model: DarcyModel,
    case: _Case,
    steps: tuple[int, ...],
    draws: int,
    tally: _Tally,
    known: dict[str, list[float]],
) -> None:
    seen = Observations(medium=case.medium)
    for calls in steps:
        begun = time.perf_counter()
        made = model.sample(draws, sensors=seen, steps=calls, seed=case.seed)
        spent = time.perf_counter() - begun
        heads = made.heads
        tally.add(f"{calls} calls, one draw", _off(heads, case.u), spent / draws)
        tally.add(f"{calls} calls, mean of {draws}", _off(heads.mean(0)[None], case.u), spent)
        tally.add(f"{calls} calls, network's own head", _off(made.raw, case.u), spent / draws)
        known.setdefault("residual", []).append(float(made.records["residual"].max()))
    known.setdefault(f"network's own head, {steps[-1]} calls: residual over the source", []).append(
        float(made.records["network_residual"].mean())
    )
    _spread("forward", steps[-1], heads, case.u, known)
    begun = time.perf_counter()
    made = model.sample(draws, sensors=seen, steps=calls, seed=case.seed, refine=_SWEEPS)
    spent = time.perf_counter() - begun
    tally.add(f"{calls} calls, one draw, {_SWEEPS} sweeps", _off(made.heads, case.u), spent / draws)
    tally.add(f"{calls} calls, mean of {draws}, {_SWEEPS} sweeps", _off(made.heads.mean(0)[None], case.u), spent)
    _spread("forward, with sweeps", calls, made.heads, case.u, known)


def _spread(task: str, calls: int, heads: np.ndarray, u: np.ndarray, known: dict[str, list[float]]) -> None:
    """How often the range of the draws holds the head, and the score of the draws over the size of the head."""
    truth, pairs = u.reshape(1, -1), heads.reshape(1, len(heads), -1)
    score = crps_ensemble(truth, pairs).mean() / np.sqrt((u**2).mean())
    known.setdefault(f"{task}, {calls} calls: CRPS of the head, % of its size", []).append(float(100 * score))
    wanted = (len(heads) - 1) / (len(heads) + 1)
    known.setdefault(
        f"{task}, {calls} calls: range of {len(heads)} draws holds the head ({wanted:.2f} wanted)", []
    ).append(float(np.mean((u >= heads.min(0)) & (u <= heads.max(0)))))


def _inverse(
    model: DarcyModel,
    case: _Case,
    steps: tuple[int, ...],
    draws: int,
    tally: _Tally,
    known: dict[str, list[float]],
) -> None:
    seen = Observations(head=case.head)
    for calls in steps:
        begun = time.perf_counter()
        made = model.sample(draws, sensors=seen, steps=calls, seed=case.seed)
        spent = time.perf_counter() - begun
        most = medium(made.media.mean(0) - 7.5)
        tally.add(f"{calls} calls, one draw", _wrong(made.media, case.a), spent / draws)
        tally.add(f"{calls} calls, most of {draws}", _wrong(most, case.a), spent)
        known.setdefault("residual", []).append(float(made.records["residual"].max()))
    known.setdefault(f"inverse, {calls} calls: misfit at the sensors, %", []).append(
        float(100 * made.records["head_misfit"].mean())
    )
    _spread("inverse", calls, made.heads, case.u, known)
    for rounds in _ROUNDS:
        begun = time.perf_counter()
        fixed = model.sample(1, sensors=seen, steps=calls, seed=case.seed, refine=rounds)
        name = f"{calls} calls, one draw, {rounds} corrections"
        tally.add(name, _wrong(fixed.media, case.a), time.perf_counter() - begun)
        known.setdefault(f"inverse, {name}: misfit at the sensors, %", []).append(
            float(100 * fixed.records["head_misfit"].mean())
        )


def _classical_forward(case: _Case, draws: int, tally: _Tally) -> None:
    size, index = len(case.a), case.medium.index
    signs = Observations(medium=case.medium).signs
    begun = time.perf_counter()
    s = sign_field((size, size)).interpolate(index, signs[None], SIGN_NUGGET)
    tally.add("indicator kriging, solved", _off(solve_media(s)["u"].numpy(), case.u), time.perf_counter() - begun)
    begun = time.perf_counter()
    law = SignPosterior(latent_field(size), index, signs)
    heads = solve_media(law.draw(Noise.range(case.seed, draws)))["u"].numpy()
    spent = time.perf_counter() - begun
    tally.add("Gibbs for the signs, one draw", _off(heads, case.u), spent / draws)
    tally.add(f"Gibbs for the signs, mean of {draws}", _off(heads.mean(0)[None], case.u), spent)


def _classical_inverse(model: DarcyModel, case: _Case, tally: _Tally, thorough: bool) -> None:
    seen = Observations(head=case.head)
    direct = laplacian_sign(model.chart, case.head)
    methods: dict[str, Callable[[], np.ndarray]] = {
        "-lap of the kriged head": lambda: laplacian_sign(model.chart, case.head),
        f"Gauss-Newton from -lap, {_ROUNDS[-1]} steps": lambda: (
            gauss_newton(0.3 * direct, seen, case.head, _ROUNDS[-1]).g
        ),
    }
    if thorough:
        methods["ES-MDA, 60 members, 4 steps"] = lambda: _smoothed(case)
        methods["pCN, 600 coarse solves"] = lambda: _walked(case)
    for name, method in methods.items():
        begun = time.perf_counter()
        g = method()
        tally.add(name, _wrong(medium(g), case.a), time.perf_counter() - begun)


def _size(case: _Case) -> float:
    """Root mean square of what the sensors of the head read."""
    return float(np.sqrt(np.mean(case.head.values**2)))


def _smoothed(case: _Case) -> np.ndarray:
    prior = latent_field(len(case.a))
    ensemble, forward = prior.field.draw(case.seed, prior.shape, 60), heads_at(case.head)
    return es_mda(ensemble, forward, case.head.values, 0.01 * _size(case), (4.0,) * 4, case.seed).mean(0)


def _walked(case: _Case) -> np.ndarray:
    prior, forward, noise = latent_field(len(case.a)), coarse_heads(case.head), 0.03 * _size(case)

    def misfit(g: np.ndarray) -> float:
        return float(((forward(g[None])[0] - case.head.values) ** 2).sum() / (2 * noise**2))

    return pcn(prior.field.draw(case.seed, prior.shape)[0], misfit, prior, 0.1, 600, case.seed).kept.mean(0)


def _interval(values: list[float]) -> tuple[float, float] | None:
    """95 % interval of the mean, by Student's t."""
    if len(values) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _table(task: str, tally: _Tally, quoted: float, note: str, judged: bool) -> Iterator[Row]:
    """Rows of a task: those of the model against the quoted number, the others as they are."""
    for name, values in tally.errors.items():
        calls = int(name.split()[0]) if " calls" in name.split(",")[0] else 0
        bar = quoted if judged and calls and "own" not in name else None
        yield Row(
            f"darcy {task}: {name}", "biased" if calls else "measured", float(np.mean(values)),
            interval=_interval(values), bar=bar, above=False, unit="%",
            baseline=quoted, baseline_name="FunDPS, quoted", calls=calls, seconds=float(np.mean(tally.seconds[name])),
            note=f"{note}; quoted: {_QUOTED}",
        )  # fmt: skip
