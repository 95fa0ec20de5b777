"""Cards of molecules for notebooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from scidiff.io.html import gallery, report_card, table
from scidiff.sample.display import samples_card
from scidiff.sample.samples import Samples

from .pictures import grid_svg

if TYPE_CHECKING:
    from .samples import MoleculeSamples
    from .validation import Validation

__all__ = ["conformers_card", "molecules_card", "validation_card"]

_MOST = 12
_CELL = (150, 115)
_DEFAULTS = re.compile(
    r"fill-rule:evenodd;?|stroke-linecap:butt;?|stroke-linejoin:miter;?|stroke-miterlimit:10;?|"
    r"(?:stroke-)?opacity:1(?:\.0)?;?| class='[^']*'"
)


def _picture(molecule: Chem.Mol) -> str:
    """SVG of a molecule without the styles that are the default anyway, a third of the size."""
    return _DEFAULTS.sub("", grid_svg([molecule], cell=_CELL))


def _gallery(molecules: Sequence[Chem.Mol]) -> str:
    if not molecules:
        return "<div>no valid molecule to draw</div>"
    first = [Chem.RemoveHs(molecule) for molecule in molecules[:_MOST]]
    return gallery([(_picture(one), Chem.MolToSmiles(one)) for one in first], len(molecules), "molecules")


def molecules_card(samples: MoleculeSamples) -> str:
    """Draw samples as structures with their SMILES."""
    return samples_card(samples, "molecules", _gallery([one for one in samples.items if one is not None]))


def conformers_card(samples: Samples) -> str:
    """Draw the different molecules as flat structures, and say how far their shapes in space reach."""
    flat: dict[str, Chem.Mol] = {}
    extents: dict[str, list[float]] = {}
    for molecule in samples.items:
        if molecule is not None:
            bare = Chem.RemoveHs(molecule)
            name = Chem.MolToSmiles(bare)
            extents.setdefault(name, []).append(_extent(bare))
            bare.RemoveAllConformers()
            flat.setdefault(name, bare)
    head = ["molecule", "conformers", "extent from, Å", "to, Å"]
    rows = [(name, len(values), min(values), max(values)) for name, values in extents.items()]
    found = table(head, rows, noun="molecules", most=_MOST)
    return samples_card(samples, "conformers", _gallery(list(flat.values())), found)


def _extent(molecule: Chem.Mol) -> float:
    """Largest distance of two atoms, Å."""
    place = molecule.GetConformer().GetPositions()
    return float(np.linalg.norm(place[:, None] - place[None], axis=-1).max())


def validation_card(found: Validation) -> str:
    """Draw verdicts on molecules: the sums, and the first that break a rule."""
    broken = [
        (k, "not readable" if smiles is None else smiles, reason)
        for k, (smiles, reason) in enumerate(zip(found.canonical, found.reasons, strict=True))
        if reason != "ok"
    ]
    bad = table(["row", "molecule", "broken rule"], broken, noun="molecules that break a rule", most=10)
    return report_card("validation of molecules", found.as_json(), bad)
