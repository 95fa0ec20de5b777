"""Pictures: one cell a molecule, and the substructure in colour."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.graphs import parse
from scidiff.domains.molecules.pictures import grid_svg
from scidiff.domains.molecules.samples import MoleculeSamples

from scidiff.errors import ConfigError
from scidiff.sample.samples import Status

FOUND = [parse(smiles) for smiles in ("CCO", "c1ccccc1C", "C#N", "C[N+](C)(C)C")]


def size(svg: str) -> tuple[int, int]:
    root = ElementTree.fromstring(svg.encode())
    return tuple(int(root.attrib[key].removesuffix("px")) for key in ("width", "height"))


@pytest.mark.parametrize(("columns", "expected"), [(6, (400, 80)), (2, (200, 160)), (3, (300, 160)), (1, (100, 320))])
def test_the_grid_is_as_large_as_its_cells(columns: int, expected: tuple[int, int]) -> None:
    assert size(grid_svg(FOUND, columns=columns, cell=(100, 80))) == expected


def test_legends_and_colours_are_drawn() -> None:
    plain = grid_svg(FOUND)
    named = grid_svg(FOUND, ["a", "b", "c", "d"])
    marked = grid_svg(FOUND, highlight=Chem.MolFromSmarts("c1ccccc1"))
    assert named.count("legend") > plain.count("legend")
    assert "#FF7F7F" in marked and "#FF7F7F" not in plain


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="no molecule to draw"):
        grid_svg([])
    with pytest.raises(ConfigError, match="2 legends came for 4 molecules"):
        grid_svg(FOUND, ["a", "b"])


def test_samples_show_themselves_in_a_notebook() -> None:
    status = [Status.OK, Status.INVALID]
    samples = MoleculeSamples([FOUND[0], None], status, np.arange(2), 0, np.zeros(2))
    assert samples._repr_html_().count("data:image/svg+xml") == 1
    assert "no valid molecule" in samples.take([1])._repr_html_()
