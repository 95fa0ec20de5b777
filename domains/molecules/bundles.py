"""Models that come with the package, by what their cards say they are models of."""

from __future__ import annotations

from pathlib import Path

from scidiff.io.checkpoint import card_path, read_json

__all__ = ["bundled_models"]

_WEIGHTS = Path(__file__).parent / "weights"


def bundled_models(of: str) -> dict[str, Path]:
    """Bundled weights files by name.

    Parameters
    ----------
    of
        Domain on the card: ``"molecules"`` for graphs, ``"molecules/conformers"`` for shapes.
    """
    paths = sorted(_WEIGHTS.glob("*.safetensors"))
    return {path.stem: path for path in paths if read_json(card_path(path)).get("task", {}).get("domain") == of}
