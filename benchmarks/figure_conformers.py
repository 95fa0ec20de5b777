"""Pictures of the conformers: bond lengths and angles of held-out molecules, from the model and from RDKit."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scidiff.domains.molecules.conformers import load
from scidiff.domains.molecules.conformers.evaluation import Study
from scidiff.domains.molecules.conformers.metrics import Measured, angles, bonds
from scidiff.domains.molecules.conformers.recipe import held_out

MOLECULES, EACH, CALLS = 250, 4, 10
SHOWN = {"C-C": "Å", "C-N": "Å", "C=C": "Å", "C-C-C": "degrees", "C-N-C": "degrees", "C-C=C": "degrees"}


def lengths_and_angles() -> Figure:
    """Histograms of six types: MMFF94, the model in ten calls, ETKDG alone."""
    study = Study.of(held_out(MOLECULES), EACH, progress=False)
    drawn, _ = study.draw(load(), CALLS, seed=0)
    sets = {"MMFF94": study.reference, f"model, {CALLS} calls": drawn, "ETKDG alone": study.raw}
    found = {name: (bonds(one), angles(one)) for name, one in sets.items()}
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    for axes, (kind, unit) in zip(figure.subplots(2, 3).flat, SHOWN.items(), strict=True):
        values = {name: of_kind(pair[unit == "degrees"], kind) for name, pair in found.items()}
        reference = values["MMFF94"]
        low, high = np.quantile(reference, [0.005, 0.995])
        margin = 0.35 * (high - low) + (0.01 if unit == "Å" else 1.0)
        edges = np.linspace(low - margin, high + margin, 60)
        for k, (name, part) in enumerate(values.items()):
            style = {"histtype": "stepfilled", "alpha": 0.35} if k == 0 else {"histtype": "step", "linewidth": 1.3}
            axes.hist(part, edges, density=True, color=f"C{k}", label=name, **style)
        axes.set(title=f"{kind}, {len(reference)} values", xlabel=unit, yticks=[])
        axes.spines["left"].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=7)
    return figure


def of_kind(measured: Measured, kind: str) -> np.ndarray:
    """Return all values of one type."""
    return measured.values[measured.kind == kind].ravel()
