"""Molecules go to torch-geometric and come back: the same molecule, marks and charges and all, or a typed error."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules import from_pyg, to_pyg
from scidiff.domains.molecules.graphs import GraphSet, parse
from scidiff.domains.molecules.pyg import graphs_from_pyg, graphs_to_pyg

from scidiff.errors import DataError, ShapeError

from .molecule_cases import CHARGED, IONS, OTHERS, RINGS

STEREO = """C[C@H](N)C(=O)O C[C@@H](N)C(=O)O F/C=C/F F/C=C\\F C/C=C/C(C)=O C(/C=C\\Br)=C(/Cl)F C[C@@H]1CC[C@H](C)O1
OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O C[S@](=O)c1ccccc1 CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5
CC(C)=C/C=C/C N[C@@H](C)C(=O)N[C@@H](CC1=CNC2=CC=CC=C21)C(O)=O C/C(F)=C(\\C)Cl F/C=C/[C@H](C)/C=C\\F""".split()
ODD = ["[CH3]", "[O][O]", "[H][H]", "[Na+].[Cl-]", "Cl.[NH4+]", "[SiH4]", "[O-]S(=O)(=O)[O-]"]


def shuffled(smiles: str, seed: int) -> Chem.Mol:
    """Molecule with its atoms in random order."""
    molecule = Chem.MolFromSmiles(smiles)
    order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms())
    return Chem.RenumberAtoms(molecule, order.tolist())


@pytest.mark.parametrize("smiles", [*RINGS, *OTHERS, *IONS, *STEREO, *ODD])
def test_every_molecule_comes_back_in_any_order_of_its_atoms(smiles):
    molecules = [shuffled(smiles, seed) for seed in range(4)]
    back = from_pyg(to_pyg(molecules))
    for molecule, again in zip(molecules, back, strict=True):
        assert Chem.MolToSmiles(again) == Chem.MolToSmiles(molecule) == Chem.CanonSmiles(smiles)
        assert [atom.GetTotalNumHs() for atom in again.GetAtoms()] == [a.GetTotalNumHs() for a in molecule.GetAtoms()]


def test_a_mirror_image_is_another_graph():
    """Both centres of a pair differ in one column only, so the mark is what was kept."""
    left, right = to_pyg([Chem.MolFromSmiles(one) for one in STEREO[:2]]).to_data_list()
    assert (left.x != right.x).sum() == 1
    cis, trans = to_pyg([Chem.MolFromSmiles(one) for one in STEREO[2:4]]).to_data_list()
    assert (cis.edge_attr != trans.edge_attr).sum() == 2


@pytest.mark.parametrize("smiles", ["CCO", "C[N+](C)(C)C", "c1cc[nH]c1", "[CH3]", "CS(=O)(=O)C", "N#CC#C"])
def test_the_columns_are_those_of_torch_geometric(smiles):
    """Equal entry by entry to its own reader, and read back from it."""
    from torch_geometric.utils import from_smiles

    theirs, ours = from_smiles(smiles), to_pyg([Chem.MolFromSmiles(smiles)]).to_data_list()[0]
    for name in ("x", "edge_index", "edge_attr"):
        assert getattr(theirs, name).tolist() == getattr(ours, name).tolist()
    assert Chem.MolToSmiles(from_pyg(theirs)[0]) == Chem.CanonSmiles(smiles)


def test_marks_whose_order_is_not_known_are_refused():
    from torch_geometric.utils import from_smiles

    for smiles in STEREO[:3]:
        data = from_smiles(smiles)
        with pytest.raises(DataError, match="order they refer to"):
            from_pyg(data)
        data.x[:, 1] = 0
        data.edge_attr[:, 1] = 0
        assert Chem.MolToSmiles(from_pyg(data)[0]) == Chem.MolToSmiles(parse(smiles))


@pytest.mark.parametrize(
    ("smiles", "says"),
    [("[2H]C", "isotope"), ("[CH3:1]C", "atom map"), ("N->[Cu]", "DATIVE"), ("C[Pt@SP1](F)(Cl)N", "centre")],
)
def test_what_does_not_fit_is_refused(smiles, says):
    with pytest.raises(DataError, match=says):
        to_pyg([Chem.MolFromSmiles(smiles)])


def test_graphs_that_are_no_molecules_are_refused():
    good = to_pyg([Chem.MolFromSmiles("CCO")]).to_data_list()[0]
    for column, value, says in ((0, 9, "not a molecule"), (1, 7, "chirality")):
        bad = good.clone()
        bad.x[1, column] = value
        with pytest.raises(DataError, match=says):
            from_pyg(bad)
    for name, change, error in (
        ("edge_index", good.edge_index[:, :-1], ShapeError),
        ("x", good.x[:, :8], ShapeError),
        ("edge_index", good.edge_index.clamp(max=1), DataError),
        ("edge_attr", good.edge_attr * 5, DataError),
    ):
        bad = good.clone()
        bad[name] = change
        with pytest.raises(error):
            from_pyg(bad)


def test_an_encoded_set_comes_back_exactly():
    molecules = [parse(smiles) for smiles in ("CC(=O)[O-]", "C[N+](C)(C)C", "c1ccncc1", "C")]
    graphs = GraphSet.from_molecules(molecules, CHARGED)
    again = graphs_from_pyg(graphs_to_pyg(graphs, CHARGED), CHARGED)
    for name in ("atoms", "bonds", "sizes"):
        assert np.array_equal(getattr(again, name), getattr(graphs, name))


def test_an_encoded_set_has_no_stereo_and_only_its_own_tokens():
    with pytest.raises(DataError, match="stereo marks"):
        graphs_from_pyg(to_pyg([Chem.MolFromSmiles(STEREO[0])]), CHARGED)
    with pytest.raises(DataError, match="vocabulary"):
        graphs_from_pyg(to_pyg([Chem.MolFromSmiles("C[Se]C")]), CHARGED)
