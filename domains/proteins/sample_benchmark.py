"""Rows of the benchmark that need the bundled model: free chains, calls, scaffolds, exactness of symmetry and freezing.

Each table has a row of held-out real chains. Where no model is bundled there is one row that says so and no other.
Without the training chains, distances and novelty are left out.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scidiff.domain import Row
from scidiff.random import Noise

from .chains import Chains
from .data import at_hand, load, select
from .docking import dock
from .evaluation import evaluate, real_row
from .intervals import wilson
from .symmetry import parse_symmetry
from .validation import Report, validate

if TYPE_CHECKING:
    from .torsion.model import TorsionModel

__all__ = ["sample_rows"]

_CALLS = (5, 10, 20, 100)
_PROTEINS = (48, 60, 72)
_FAST_COUNT, _COUNT, _CALLS_COUNT = 6, 200, 24
_GATES, _HELD, _STRANDS, _JSD, _TM = 0.65, 0.90, 0.10, 0.1, 0.45
_RAMA_FAVOURED, _RAMA_OUTLIERS, _NEAREST = 0.93, 0.02, 0.7
_FRESH = 1000
"""Added to the seed: the fit was settled by looking at samples of seed 0."""


def sample_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure and yield the rows one by one."""
    from .torsion.model import bundled
    from .torsion.model import load as load_model

    if "chains" not in bundled():
        yield Row("bundled model of chains", "measured", 0.0, note="none is bundled; rows of samples are left out")
        return
    model, seed = load_model("chains"), seed + _FRESH
    count = _FAST_COUNT if fast else _COUNT
    begun = time.perf_counter()
    samples = model.sample(count, lengths=_lengths(count), steps=20, seed=seed)
    seconds = (time.perf_counter() - begun) / count
    yield from _validity(samples.chains, samples.raw, seconds)
    yield from _freezing(model, samples.chains.take([0]), seed)
    yield from _assemblies(samples.chains.take([0]), seed)
    if fast:
        return
    yield from _by_calls(model, seed)
    if at_hand():
        yield from _set(samples.chains)
        yield from _scaffolds(model, seed)
        yield from _motifbench(model, seed)


def _lengths(count: int) -> list[int]:
    return [_PROTEINS[k % len(_PROTEINS)] for k in range(count)]


def _share(name: str, good: torch.Tensor, note: str, **more: Any) -> Row:
    count, hits = len(good), int(good.sum())
    return Row(name, "measured", hits / count, wilson(hits, count), note=f"n = {count}; {note}", **more)


def _mean(name: str, values: torch.Tensor, note: str, **more: Any) -> Row:
    half = 1.96 * float(values.std()) / len(values) ** 0.5
    mean = float(values.mean())
    return Row(name, "measured", mean, (mean - half, mean + half), note=f"n = {len(values)}; {note}", **more)


def _validity(chains: Chains, raw: Chains, seconds: float) -> Iterator[Row]:
    """Gates and rules of samples, raw and relaxed; the real row is the baseline."""
    about, report, before = "lengths 48, 60, 72; 20 calls", validate(chains), validate(raw)
    gates, many = report.gates_together(), len(chains) >= _COUNT
    real = {"baseline": gates["real_chains"], "baseline_name": "held-out real chains"}
    bar = _GATES if many else None  # a share of a few chains says nothing
    yield _share("samples through all gates", report.passed, about, bar=bar, calls=20, seconds=seconds, **real)
    yield _share("raw samples through all gates", before.passed, f"{about}; before relaxation", calls=20)
    valid = report.as_json()["shares"]["valid"]
    yield _share("samples with valid local geometry", report.valid, about, baseline=valid["real_chains"])
    yield _share("samples without clash", report.gates["clash"], about, bar=1.0)
    yield _share("samples with Rg ratio in 0.9 to 1.3", report.rules["rg_ratio"], about, bar=0.95)
    means = report.as_json()["means"]
    for name, bar, above in (("favoured_general", _RAMA_FAVOURED, True), ("outliers_general", _RAMA_OUTLIERS, False)):
        values, bar = report.numbers[name], bar if many else None
        yield _mean(f"samples {name}", values, about, bar=bar, above=above, baseline=means[name]["real_chains"])
    for name, bar in (("helix", None), ("strand", _STRANDS if many else None)):
        beside = {"baseline": means[name]["real_chains"], "bar": bar}
        yield _mean(f"samples {name} by hydrogen bonds", report.numbers[name], about, **beside)


def _by_calls(model: TorsionModel, seed: int) -> Iterator[Row]:
    """Gates and strands at several numbers of network calls, in one table."""
    for steps in _CALLS:
        samples = model.sample(_CALLS_COUNT, lengths=_lengths(_CALLS_COUNT), steps=steps, seed=seed + 1)
        report: Report = validate(samples.chains)
        gates = report.gates_together()
        about = f"{steps} calls; the same seeds at every number of calls"
        real = {"baseline": gates["real_chains"], "baseline_name": "held-out real chains"}
        yield _share(f"gates at {steps} calls", report.passed, about, calls=steps, **real)
        real_strand = report.as_json()["means"]["strand"]["real_chains"]
        yield _mean(f"strand at {steps} calls", report.numbers["strand"], about, calls=steps, baseline=real_strand)


def _set(chains: Chains) -> Iterator[Row]:
    """Distributions, diversity and memorisation."""
    held_out, library = select(load("valid", progress=False)), select(load("train", progress=False))
    done = evaluate(chains, held_out, library)
    real, about = real_row(), f"n = {len(chains)}; against held-out chains"
    bars = {"phi_psi_jsd": _JSD, "mean_pairwise_tm": _TM}
    for name, value in done.numbers.items():
        if name in ("helix", "strand", "rg_ratio"):
            continue
        more = {"bar": bars[name], "above": False} if name in bars else {}
        yield Row(f"set {name}", "measured", value, baseline=real.get(name), note=about, **more)


def _freezing(model: TorsionModel, start: Chains, seed: int) -> Iterator[Row]:
    """Frozen residues do not move."""
    from .scaffolding.vary import vary

    mask = torch.zeros(start.xyz.shape[1], dtype=torch.bool)
    mask[8:16], mask[30:36] = True, True
    done = vary(model, start, mask, count=4, steps=10, seed=seed)
    note = "4 variants of a sample at level 0.5, residues 9-16 and 31-36 frozen"
    yield Row(
        "frozen residues, worst move", "measured", float(done.moved.max()), bar=1e-3, above=False, unit="Å", note=note
    )
    yield Row("other residues, CA moved", "measured", float(done.changed.mean()), unit="Å", note=note)


def _assemblies(unit: Chains, seed: int) -> Iterator[Row]:
    """A sampled unit in point groups and a screw."""
    clashes, worst, names = 0, 0.0, ("C2", "C3", "C7", "D2", "D3", "D5", "T", "O", "I", "screw(12,40,8)")
    for name in names:
        done = dock(unit, parse_symmetry(name), Noise.range(seed, 1))
        clashes, worst = clashes + done.clashes, max(worst, done.error)
    note = f"one sampled unit in {', '.join(names)}"
    yield Row("sampled assemblies, worst copy", "measured", worst, bar=1e-4, above=False, unit="Å", note=note)
    yield Row("sampled assemblies, clashes between copies", "measured", float(clashes), bar=0.0, above=False, note=note)


def _scaffolds(model: TorsionModel, seed: int) -> Iterator[Row]:
    """The 24 problems: motif, gates, effective size, effect."""
    from .scaffolding.motif_problems import held_out_problems
    from .scaffolding.scaffolds import ScaffoldSettings, scaffold
    from .scaffolding.twisted import TwistSettings

    chains = load("valid", progress=False)
    done, sizes, acted = [], [], 0
    settings = ScaffoldSettings(steps=20, per_layout=4, twist=TwistSettings(threshold=0.0), compare=4)
    for problem in held_out_problems():
        one = scaffold(model, problem.design, problem.reference(chains), 4, seed=seed, settings=settings)
        done.append(one)
        sizes += [min(part.ess) for part in one.particles]
        acted += one.effect is not None and one.effect.area > 0.5
        note = f"n = 4; {len(problem.segments)} segments; largest motif RMSD {float(one.rmsd.max()):.1e} Å"
        note += f"; least effective size {sizes[-1]:.1f} of 4" if one.particles else ""
        yield Row(f"motif {problem.name}", "measured", float(one.good.double().mean()), note=note, calls=20)
    held = torch.cat([one.held for one in done])
    gates = torch.cat([one.report.passed for one in done])
    sound = torch.cat([one.report.valid & one.report.gates["clash"] for one in done])
    about = "24 problems cut from held-out chains, 4 scaffolds each, guided by the twist, not resampled"
    yield _share("scaffolds: motif RMSD at most 0.2 Å, valid geometry, no clash", held & sound, about, bar=_HELD)
    yield _share("scaffolds: motif RMSD at most 0.2 Å", held, about)
    yield _share("scaffolds through all gates", gates, about)
    solved = torch.tensor([bool(one.good.any()) for one in done])
    yield _share("problems with a scaffold through all gates, motif held", solved, about)
    least = float(torch.tensor(sizes).mean()) / 4
    yield Row("effective size of the weights over particles, least, mean", "measured", least, note=about)
    yield Row("problems in which the motif acted", "measured", acted / len(done), note=f"{about}; nearer than without")


def _motifbench(model: TorsionModel, seed: int) -> Iterator[Row]:
    """MotifBench's problems at hand: the one within the lengths of training, and the others as they come."""
    from scidiff.io.files import data_folder

    from .scaffolding.motifbench import problems
    from .scaffolding.scaffolds import ScaffoldSettings, scaffold
    from .scaffolding.twisted import TwistSettings
    from .torsion.model import LONGEST

    folder = (data_folder() or Path()) / "proteins" / "motifbench"
    if not (folder / "test_cases.csv").is_file():
        return
    for problem in problems(folder):
        within = problem.problem.length <= LONGEST
        count = 8 if within else 2
        settings = ScaffoldSettings(steps=20, per_layout=4, twist=TwistSettings(threshold=0.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = scaffold(model, problem.problem.design, problem.motif, count, seed=seed, settings=settings)
        sound = done.held & done.report.valid & done.report.gates["clash"]
        note = f"length {problem.problem.length}, {'within' if within else 'beyond'} training; through all gates "
        note += (
            f"{int(done.good.sum())}; largest motif RMSD {float(done.rmsd.max()):.1e} Å; no designability is claimed"
        )
        yield _share(f"MotifBench {problem.name}: motif held, valid, no clash", sound, note, calls=20)
