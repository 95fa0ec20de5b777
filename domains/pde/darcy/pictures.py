"""Pictures of pairs of medium and head."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .samples import DarcySamples

__all__ = ["pair_picture"]

_SHOWN = 6


def pair_picture(samples: DarcySamples) -> bytes:
    """PNG of the first pairs, media above heads."""
    from matplotlib.figure import Figure

    count = min(len(samples), _SHOWN)
    figure = Figure(figsize=(2.0 * count, 4.2), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for k in range(count):
        axes[0, k].imshow(samples.media[k].T, origin="lower", cmap="cividis", extent=(0, 1, 0, 1))
        axes[1, k].imshow(samples.heads[k].T, origin="lower", cmap="viridis", extent=(0, 1, 0, 1))
        axes[0, k].set_title(f"residual {samples.records['residual'][k]:.0e}", fontsize=8)
    for each in axes.flat:
        each.set_xticks([])
        each.set_yticks([])
    axes[0, 0].set_ylabel("medium")
    axes[1, 0].set_ylabel("head")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
