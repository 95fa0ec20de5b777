"""Chains in a notebook: a turning cartoon by py3Dmol, or the ribbon picture where it is not installed."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from scidiff.errors import ConfigError

from .chains import Chains

__all__ = ["picture_html", "view"]

_WIDTH, _HEIGHT = 260, 240


def view(chains: Chains, columns: int = 4) -> Any:
    """Show chains side by side in a notebook.

    Parameters
    ----------
    chains
        Chains; each is shown alone.
    columns
        Views in a row.

    Returns
    -------
    Any
        A py3Dmol view. It loads its drawing code from the network when it is shown.

    Raises
    ------
    ConfigError
        If py3Dmol is not installed.
    """
    try:
        import py3Dmol
    except ImportError as error:
        raise ConfigError("py3Dmol is not installed; install scidiff[notebooks], or use pictures.ribbon_png") from error
    from .writers import write

    columns = min(columns, len(chains))
    rows = -(-len(chains) // columns)
    shown = py3Dmol.view(width=_WIDTH * columns, height=_HEIGHT * rows, viewergrid=(rows, columns), linked=False)
    with tempfile.TemporaryDirectory() as folder:
        for k in range(len(chains)):
            one = chains.take([k])
            plain = Chains(one.xyz, one.mask, one.sequence, one.names, ("A",))
            text = write(Path(folder) / "one.pdb", plain).read_text(encoding="ascii")
            place = (k // columns, k % columns)
            shown.addModel(text, "pdb", viewer=place)
            shown.setStyle({"cartoon": {"color": "spectrum"}}, viewer=place)
            shown.zoomTo(viewer=place)
    return shown


def picture_html(chains: Chains, most: int = 8) -> str:
    """Ribbon picture of the first chains as an HTML image, for notebooks and pages without network."""
    from .pictures import ribbon_png

    content = base64.b64encode(ribbon_png(chains.take(range(min(most, len(chains)))))).decode("ascii")
    return f'<img src="data:image/png;base64,{content}" alt="{len(chains)} chains as ribbons">'
