"""Pictures of molecules, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from scidiff.errors import ConfigError

__all__ = ["grid_svg"]


def grid_svg(
    molecules: Sequence[Chem.Mol],
    legends: Sequence[str] | None = None,
    *,
    columns: int = 6,
    cell: tuple[int, int] = (180, 150),
    highlight: Chem.Mol | None = None,
) -> str:
    """Draw molecules in a grid.

    Parameters
    ----------
    molecules
        What to draw; at least one.
    legends
        A line under each.
    columns
        Molecules in a row, at most.
    cell
        Width and height of a molecule, in pixels.
    highlight
        A substructure to colour where it occurs.

    Returns
    -------
    str
        SVG.

    Raises
    ------
    ConfigError
        If there is no molecule, or another number of legends than of molecules.
    """
    if not molecules:
        raise ConfigError("there is no molecule to draw; pass at least one")
    if legends and len(legends) != len(molecules):
        raise ConfigError(f"{len(legends)} legends came for {len(molecules)} molecules; pass one for each")
    columns = min(columns, len(molecules))
    marked = [list(m.GetSubstructMatch(highlight)) if highlight is not None else [] for m in molecules]
    rows = -(-len(molecules) // columns)
    canvas = rdMolDraw2D.MolDraw2DSVG(columns * cell[0], rows * cell[1], *cell)
    canvas.drawOptions().legendFontSize = 14
    canvas.DrawMolecules(
        [rdMolDraw2D.PrepareMolForDrawing(m) for m in molecules],
        legends=list(legends) if legends else None,
        highlightAtoms=marked,
    )
    canvas.FinishDrawing()
    return canvas.GetDrawingText()
