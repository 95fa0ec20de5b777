"""Numbers computed from one molecule.

`PROPERTIES` are the four that MOSES compares [1]_: Crippen's logP, synthetic accessibility, QED and the average
molecular weight in dalton. `PHYSCHEM` are the nine that GuacaMol compares [2]_: four continuous, then five counts.

References
----------
.. [1] D. Polykovskiy et al., Front. Pharmacol. 11 (2020) 565644, arXiv 1811.12823
.. [2] N. Brown et al., J. Chem. Inf. Model. 59 (2019) 1096, arXiv 1811.09621
"""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, GraphDescriptors, Lipinski, rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from .sascore import sa_score

__all__ = ["PHYSCHEM", "PHYSCHEM_CONTINUOUS", "PROPERTIES", "brics_fragments", "flat_smiles", "murcko_scaffold"]
__all__ += ["physchem", "properties"]

PROPERTIES = ("logp", "sa", "qed", "weight")
PHYSCHEM = (
    "BertzCT",
    "MolLogP",
    "MolWt",
    "TPSA",
    "NumHAcceptors",
    "NumHDonors",
    "NumRotatableBonds",
    "NumAliphaticRings",
    "NumAromaticRings",
)
PHYSCHEM_CONTINUOUS = 4


def properties(smiles: str) -> tuple[float, float, float, float]:
    """Compute logP, SA, QED and molecular weight.

    Parameters
    ----------
    smiles
        A valid SMILES.

    Returns
    -------
    values
        In the order of `PROPERTIES`; the weight in dalton.
    """
    mol = Chem.MolFromSmiles(smiles)
    return Crippen.MolLogP(mol), sa_score(mol), QED.qed(mol), Descriptors.MolWt(mol)


def physchem(smiles: str) -> tuple[float, ...]:
    """Compute the nine descriptors of GuacaMol.

    Parameters
    ----------
    smiles
        A valid SMILES.

    Returns
    -------
    values
        In the order of `PHYSCHEM`.
    """
    mol = Chem.MolFromSmiles(smiles)
    return (
        GraphDescriptors.BertzCT(mol),
        Crippen.MolLogP(mol),
        Descriptors.MolWt(mol),
        rdMolDescriptors.CalcTPSA(mol),
        Lipinski.NumHAcceptors(mol),
        Lipinski.NumHDonors(mol),
        rdMolDescriptors.CalcNumRotatableBonds(mol),
        rdMolDescriptors.CalcNumAliphaticRings(mol),
        rdMolDescriptors.CalcNumAromaticRings(mol),
    )


def brics_fragments(smiles: str) -> tuple[str, ...]:
    """Cut the BRICS bonds of a molecule.

    Parameters
    ----------
    smiles
        A valid SMILES.

    Returns
    -------
    fragments
        Canonical SMILES of the pieces, repeated as often as they occur.
    """
    mol = Chem.MolFromSmiles(smiles)
    return tuple(Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(mol)).split("."))


def murcko_scaffold(smiles: str) -> tuple[str, int] | None:
    """Find the Bemis-Murcko scaffold of a molecule, its rings and what joins them; None without a ring.

    Parameters
    ----------
    smiles
        A valid SMILES.

    Returns
    -------
    scaffold
        Canonical SMILES and number of rings, or None.
    """
    scaffold = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(smiles))
    rings = scaffold.GetRingInfo().NumRings()
    return (Chem.MolToSmiles(scaffold), rings) if rings else None


def flat_smiles(smiles: str) -> str:
    """Take the stereo marks off a molecule.

    Parameters
    ----------
    smiles
        A valid SMILES.

    Returns
    -------
    flat
        Canonical SMILES.
    """
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)
