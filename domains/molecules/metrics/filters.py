"""Structural alerts: which molecules a medicinal chemist would throw out.

**Filters**, the published metric of MOSES [1]_: a molecule passes when

* no ring has eight atoms or more,
* no atom carries a formal charge,
* all elements are among C, N, S, O, F, Cl, Br and H,
* with hydrogens added, it matches none of the 22 MCF and none of the PAINS patterns that MOSES carries.

The patterns are data of the package ``molsets`` and are read from its wheel; without them the metric is not computed.

**PAINS-free** is another quantity and has another name: no match in RDKit's own catalogue of PAINS A, B and C [2]_.

References
----------
.. [1] D. Polykovskiy et al., Front. Pharmacol. 11 (2020) 565644, arXiv 1811.12823
.. [2] J. B. Baell, G. A. Holloway, J. Med. Chem. 53 (2010) 2719, doi:10.1021/jm901137j
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import FilterCatalog

from scidiff.errors import DataError, IntegrityError

__all__ = ["MOSES_RULE_HASHES", "load_moses_rules", "passes_moses", "passes_pains"]

MOSES_RULE_HASHES = {
    "mcf.csv": "f4a2bfacb4cb8877295eb2a4b4e61ec9770a26388f1331e5dc9c193d22dd5f89",
    "wehi_pains.csv": "d762e5420ec70f06d7e41d336cae6f67e2feb0eddf05c6171192a332726d296f",
}
_ELEMENTS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
_LARGEST_RING = 7
_LARGEST_FILE = 1 << 20


def load_moses_rules(path: str | Path) -> tuple[str, ...]:
    """Read the MCF and PAINS patterns of MOSES.

    Parameters
    ----------
    path
        The wheel ``molsets-0.3.1-py3-none-any.whl``, or a folder that holds ``mcf.csv`` and ``wehi_pains.csv``.

    Returns
    -------
    rules
        SMARTS patterns, MCF first.

    Raises
    ------
    DataError
        If a file is missing or cannot be read.
    IntegrityError
        If a file does not have the pinned SHA-256.
    """
    rules: list[str] = []
    for name, expected in MOSES_RULE_HASHES.items():
        raw = _read(Path(path), name)
        found = hashlib.sha256(raw).hexdigest()
        if found != expected:
            raise IntegrityError(
                f"{name} from {path} has SHA-256 {found}; expected {expected}: fetch molsets 0.3.1 again"
            )
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8"))))
        rules += [row[1] for row in rows[1:]] if name == "mcf.csv" else [row[0].strip() for row in rows]
    return tuple(rules)


def _read(path: Path, name: str) -> bytes:
    """Bytes of a rule file in a folder or in the wheel, up to a size limit."""
    try:
        if path.is_dir():
            return (path / name).read_bytes()[:_LARGEST_FILE]
        with zipfile.ZipFile(path) as wheel, wheel.open(f"moses/metrics/{name}") as member:
            return member.read(_LARGEST_FILE)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {name} from {path} ({error}); expected the wheel of molsets 0.3.1 or a folder "
            "with its rule files: pip download --no-deps molsets==0.3.1"
        ) from error


@lru_cache(maxsize=4)
def _patterns(rules: tuple[str, ...]) -> tuple[Chem.Mol, ...]:
    """Compile the patterns, once a process."""
    compiled = tuple(Chem.MolFromSmarts(rule) for rule in rules)
    if None in compiled:
        raise DataError(f"rule '{rules[compiled.index(None)]}' is no SMARTS pattern; expected patterns RDKit can read")
    return compiled


def passes_moses(smiles: str, rules: tuple[str, ...]) -> bool:
    """Tell whether a molecule passes the filters of MOSES.

    Parameters
    ----------
    smiles
        A valid SMILES.
    rules
        Patterns of `load_moses_rules`.

    Returns
    -------
    passes
        True where no rule speaks against it.

    Raises
    ------
    DataError
        If a rule is no SMARTS pattern.
    """
    mol = Chem.MolFromSmiles(smiles)
    if any(len(ring) > _LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() != 0 or atom.GetSymbol() not in _ELEMENTS for atom in mol.GetAtoms()):
        return False
    hydrogens = Chem.AddHs(mol)
    return not any(hydrogens.HasSubstructMatch(pattern) for pattern in _patterns(rules))


@lru_cache(maxsize=1)
def _catalogue() -> FilterCatalog.FilterCatalog:
    """RDKit's PAINS catalogue, built once a process."""
    parameters = FilterCatalog.FilterCatalogParams()
    parameters.AddCatalog(FilterCatalog.FilterCatalogParams.FilterCatalogs.PAINS)
    return FilterCatalog.FilterCatalog(parameters)


def passes_pains(smiles: str) -> bool:
    """Tell whether a molecule matches none of RDKit's PAINS patterns.

    Parameters
    ----------
    smiles
        A valid SMILES.

    Returns
    -------
    passes
        True where no pattern matches.
    """
    return not _catalogue().HasMatch(Chem.MolFromSmiles(smiles))
