"""Cards of fields, problems and certificates for notebooks."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from scidiff.io.html import card, facts, image, shown, table
from scidiff.sample.display import samples_card

if TYPE_CHECKING:
    from .constraints.family_model import FamilySamples
    from .contract import Problem
    from .darcy.samples import DarcySamples
    from .flow_samples import FlowSamples
    from .function_space import FieldSamples

__all__ = ["families_card", "fields_card", "flows_card", "pairs_card", "problem_card"]

_FLOWS, _PAIRS, _FIELDS = 8, 6, 4


def flows_card(samples: FlowSamples) -> str:
    """Draw flows by their vorticity, all in one scale."""
    if not len(samples):
        return samples_card(samples, "flows around obstacles")
    from .flow_pictures import flow_picture

    part = shown(min(_FLOWS, len(samples)), len(samples), "flows")
    return samples_card(
        samples, "flows around obstacles", image(flow_picture(samples, _FLOWS, dpi=56), "vorticity"), part
    )


def pairs_card(samples: DarcySamples) -> str:
    """Draw media and heads, with the residual of each."""
    if not len(samples):
        return samples_card(samples, "pairs of medium and head")
    from .darcy.pictures import pair_picture

    part = shown(min(_PAIRS, len(samples)), len(samples), "pairs")
    return samples_card(samples, "pairs of medium and head", image(pair_picture(samples), "media above heads"), part)


def fields_card(samples: FieldSamples) -> str:
    """Draw all fields of the first sample as the problem describes them."""
    if not len(samples):
        return samples_card(samples, "fields")
    from .plot import picture

    drawn = image(picture(samples.problem, samples.state), f"fields of {samples.problem.name}")
    return samples_card(samples, f"fields of {samples.problem.name}", drawn, shown(1, len(samples), "samples"))


def families_card(samples: FamilySamples) -> str:
    """Draw fields over space and time, all in one scale."""
    if not len(samples):
        return samples_card(samples, "fields over space and time")
    from matplotlib.figure import Figure

    first = samples.fields[:_FIELDS]
    level = float(np.abs(first[np.isfinite(first)]).max(initial=0.0)) or 1.0
    figure = Figure(figsize=(2.4 * len(first), 2.3), dpi=90, layout="constrained")
    axes = figure.subplots(1, len(first), squeeze=False)[0]
    for axis, field in zip(axes, first, strict=True):
        drawn = axis.imshow(field.T, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-level, vmax=level)
        axis.set_xlabel("place", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].set_ylabel("time", fontsize=8)
    figure.colorbar(drawn, ax=list(axes), shrink=0.8).ax.tick_params(labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    part = shown(len(first), len(samples), "fields")
    return samples_card(samples, "fields over space and time", image(buffer.getvalue(), "fields"), part)


def problem_card(problem: Problem) -> str:
    """List fields, terms and promises of a problem."""
    order = "spectral" if math.isinf(problem.order) else f"{problem.order:g}"
    said = {
        "name": problem.name,
        "grid": " x ".join(map(str, problem.shape)),
        "order": order,
        "stated error": float(problem.truth_error),
        "boundary": problem.boundary,
        "unit of the residual": str(problem.residual_unit),
    }
    fields = [
        (field.name, field.title, str(field.unit), "drawn" if field.given else "solved") for field in problem.fields
    ]
    constants = [(name, str(unit)) for name, unit in problem.parameters.items()]
    return card(
        problem.title,
        facts(said),
        table(["field", "what it is", "unit", "is"], fields),
        table(["constant", "unit"], constants),
    )
