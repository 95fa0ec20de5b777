"""The section of the demonstration: molecules drawn, a scaffold extended, the numbers beside them."""

from __future__ import annotations

import time
from pathlib import Path

from rdkit.Chem import QED

from scidiff.domain import DemoSection, Picture, Row

from .metrics.intervals import bootstrap_mean, wilson
from .metrics.sascore import sa_score
from .model import load
from .pictures import grid_svg
from .samples import MoleculeSamples
from .scaffold import contains, parse_query
from .validation import validate

__all__ = ["demo"]

_SCAFFOLD, _LINKER = "c1cc[nH]c1", "C1CC1*.N#C*"
_STEPS = 10


def demo(folder: Path, seed: int, fast: bool) -> DemoSection:
    """Draw molecules with the bundled QM9 model; files go into `folder`."""
    import numpy as np

    begun = time.perf_counter()
    model = load("qm9")
    samples = model.sample(100 if fast else 500, steps=_STEPS, seed=seed)
    samples.save(folder / "molecules.smi")
    samples.save(folder / "molecules.sdf")
    grown = model.sample(50 if fast else 200, steps=_STEPS, seed=seed, scaffold=_SCAFFOLD)
    linked = model.sample(50 if fast else 200, steps=_STEPS, seed=seed, scaffold=_LINKER)
    good = [molecule for molecule in samples.items if molecule is not None]
    scores = {
        "drug-likeness QED": np.array([QED.qed(m) for m in good]),
        "synthetic accessibility SA": np.array([sa_score(m) for m in good]),
        "log-probability removed by validity, nats": samples.records["cost_last"],
    }
    rows = [*_rates("sampled", samples), *_rates("scaffold", grown, _SCAFFOLD), *_rates("linker", linked, _LINKER)]
    for name, values in scores.items():
        interval = tuple(bootstrap_mean(values, seed=seed))
        rows.append(Row(name, "measured", float(values.mean()), interval, calls=_STEPS, note=f"mean of {len(values)}"))
    seconds = samples.provenance["seconds"]
    speed = f"the network took {seconds['network']:.1f} s of {seconds['total']:.1f} s"
    rows.append(Row("molecules per second", "measured", len(samples) / seconds["total"], calls=_STEPS, note=speed))
    pictures = (
        Picture(f"New molecules, the first 18 of {len(samples)}; none was filtered out.", grid_svg(good[:18])),
        Picture(f"Extensions of pyrrole ({_SCAFFOLD}), which every one contains.", _marked(grown, _SCAFFOLD)),
        Picture(f"Linkers between cyclopropane and a nitrile ({_LINKER}).", _marked(linked, _LINKER)),
    )
    return DemoSection(
        title="Molecules",
        lead=(
            f"{len(samples)} molecules of up to nine C, N, O and F atoms from the bundled QM9 model, {_STEPS} network "
            "calls each. Every one is connected, sanitizable and closed-shell by construction: the sampler draws bonds "
            "within the valence that is left, and what this removes in log-probability is reported."
        ),
        rows=tuple(rows),
        pictures=pictures,
        commands=(
            f"scidiff molecules sample --model qm9 --count {len(samples)} --steps {_STEPS} --seed {seed} --out a.smi",
            f"scidiff molecules scaffold '{_SCAFFOLD}' --count {len(grown)} --steps {_STEPS} --seed {seed} --out b.sdf",
        ),
        calls=_STEPS,
        seconds=time.perf_counter() - begun,
    )


def _rates(name: str, samples: MoleculeSamples, query: str | None = None) -> list[Row]:
    """Shares of valid, of different, and of matching molecules."""
    found, count = validate(samples), len(samples)
    hits = {"valid": (found.reasons.count("ok"), 1.0), "unique": (len(set(found.canonical)), None)}
    if query is not None:
        pattern = parse_query(query)
        inside = sum(molecule is not None and contains(molecule, pattern) for molecule in samples.items)
        hits["contain the query"] = (inside, 1.0)
    return [
        Row(f"{name}: {what}", "measured", k / count, tuple(wilson(k, count)), bar, calls=_STEPS, note=f"n = {count}")
        for what, (k, bar) in hits.items()
    ]


def _marked(samples: MoleculeSamples, query: str) -> str:
    """Picture of different molecules with the query coloured."""
    different = {smiles: molecule for smiles, molecule in zip(samples.smiles, samples.items, strict=True) if molecule}
    return grid_svg(list(different.values())[:12], highlight=parse_query(query))
