"""Structure files: what is written is read back by two readers; what is not plain is refused or reported."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.errors import StructureError
from scidiff.domains.proteins.structures import PERMISSIVE, Reading, read, read_models
from scidiff.domains.proteins.symmetry import parse_symmetry
from scidiff.domains.proteins.validation import validate
from scidiff.domains.proteins.writers import write

from scidiff.errors import ConfigError, DataError

from .protein_cases import helix, shaken

ENDINGS = [".cif", ".bcif", ".pdb"]


def two_chains() -> Chains:
    parts = [helix(9).xyz[0], helix(5).xyz[0] + 12]
    confidence = torch.arange(18, dtype=torch.float64).reshape(2, 9) * 4.25
    numbers = torch.arange(9).repeat(2, 1) + torch.tensor([[-2], [101]])
    return Chains.of(
        parts, ["ACDEFGHIK", "XWGPX"], labels=("A", "a"), names=("u", "v"), numbers=numbers, confidence=confidence
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(tmp_path, ending):
    chains = two_chains()
    found = read(write(tmp_path / f"x{ending}", chains, {"model": "toy", "seed": 3}))
    assert not found.notes
    assert found.chains.labels == ("A", "a")
    assert [found.chains.letters(k) for k in (0, 1)] == ["ACDEFGHIK", "XWGPX"]
    real = chains.mask
    # PDB has three decimals, biotite single precision
    assert float((found.chains.xyz - chains.xyz)[real].abs().max()) < (6e-4 if ending == ".pdb" else 1e-5)
    assert float((found.chains.confidence - chains.confidence)[real].abs().max()) < 6e-3
    assert torch.equal(found.chains.numbers[real], chains.numbers[real])


@pytest.mark.parametrize("ending", [".cif", ".pdb"])
def test_gemmi_reads_the_same(tmp_path, ending):
    gemmi = pytest.importorskip("gemmi")
    chains = two_chains()
    model = gemmi.read_structure(str(write(tmp_path / f"x{ending}", chains)))[0]
    assert [chain.name for chain in model] == ["A", "a"]
    assert [residue.name for residue in model[1]] == ["UNK", "TRP", "GLY", "PRO", "UNK"]
    assert [atom.name for atom in model[1][0]] == ["N", "CA", "C", "O"]
    assert [atom.name for atom in model[1][1]] == ["N", "CA", "C", "O", "CB"]
    for row, chain in enumerate(model):
        for place, residue in enumerate(chain):
            at = residue.find_atom("CA", "*").pos
            assert torch.tensor([at.x, at.y, at.z]).double() == pytest.approx(chains.ca[row, place], abs=1e-3)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_trajectory_has_its_models(tmp_path, ending):
    frames = [shaken(two_chains(), 0.1, seed) for seed in range(3)]
    found = read_models(write(tmp_path / f"t{ending}", frames))
    assert len(found) == 3
    for one, other in zip(found, frames, strict=True):
        assert float((one.xyz - other.xyz)[other.mask].abs().max()) < 1e-3
    with pytest.raises(DataError, match="3 models"):
        read(tmp_path / f"t{ending}", model=4)


def test_the_header_says_what_made_the_file(tmp_path):
    assert "REMARK  99 seed: 7" in write(tmp_path / "x.pdb", helix(4), {"seed": 7}).read_text()
    assert "_scidiff.seed" in write(tmp_path / "x.cif", helix(4), {"seed": 7}).read_text()


def test_a_large_assembly_is_written_to_cif_and_refused_by_pdb(tmp_path):
    whole = parse_symmetry("I").assemble(helix(4))
    assert read(write(tmp_path / "i.cif", whole)).chains.labels == whole.labels
    with pytest.raises(StructureError, match=r"chain 'AA' .*write \.cif"):
        write(tmp_path / "i.pdb", whole)


def test_writers_refuse_what_would_be_lost(tmp_path):
    with pytest.raises(ConfigError, match="ends in"):
        write(tmp_path / "x.xyz", helix(4))
    with pytest.raises(StructureError, match="twice"):
        write(tmp_path / "x.cif", replace(two_chains(), labels=("A", "A")))
    with pytest.raises(ConfigError, match="differ"):
        write(tmp_path / "x.cif", [helix(4), helix(5)])
    assert not list(tmp_path.iterdir())


LINE = (
    "{kind:6s}{serial:5d} {atom:^4s}{alt}{name:3s} {chain}{number:4d}{code}   "
    "{x:8.3f}{y:8.3f}{z:8.3f}{occ:6.2f}{b:6.2f}"
)


def pdb_text(edit=lambda rows: rows, length: int = 8) -> str:
    """PDB of a helix, as a list of rows that a test may change."""
    xyz, rows = helix(length).xyz[0], []
    for i in range(length):
        for k, atom in enumerate(("N", "CA", "C")):
            x, y, z = xyz[i, k].tolist()
            rows.append(
                {
                    "kind": "ATOM", "atom": atom, "alt": " ", "name": "ALA", "chain": "A", "number": i + 1, "code": " ",
                    "x": x, "y": y, "z": z, "occ": 1.0, "b": 50.0,
                }
            )  # fmt: skip
    rows = edit(rows)
    return "\n".join(LINE.format(serial=n + 1, **row) for n, row in enumerate(rows)) + "\nEND\n"


@pytest.fixture
def saved(tmp_path):
    def save(edit):
        path = tmp_path / "case.pdb"
        path.write_text(pdb_text(edit))
        return path

    return save


def test_a_plain_file_has_no_notes(saved):
    assert read(saved(lambda rows: rows)).notes == ()


def test_a_gap_names_chain_and_residue_or_divides(saved):
    path = saved(lambda rows: [row for row in rows if row["number"] not in (4, 5)])
    with pytest.raises(StructureError, match=r"chain 'A' residue 3: no bond to residue 6 .*split_gaps") as caught:
        read(path)
    assert (caught.value.chain, caught.value.residue) == ("A", "3")
    found = read(path, Reading(split_gaps=True))
    assert found.chains.lengths.tolist() == [3, 3]
    assert found.chains.names == ("case_A", "case_A/2")
    assert found.chains.numbers[1, :3].tolist() == [6, 7, 8]
    assert "divided" in str(found.notes[0])


def test_a_jump_in_numbering_across_a_bond_is_kept_and_noted(saved):
    found = read(saved(lambda rows: [{**row, "number": row["number"] + 20 * (row["number"] > 4)} for row in rows]))
    assert found.chains.numbers[0].tolist() == [1, 2, 3, 4, 25, 26, 27, 28]
    assert [note.residue for note in found.notes] == ["4"]


def test_missing_atoms_name_the_residue_or_are_left_out(saved):
    path = saved(lambda rows: [row for row in rows if (row["number"], row["atom"]) != (5, "C")])
    with pytest.raises(StructureError, match="chain 'A' residue 5: ALA lacks C"):
        read(path)
    assert read(path, PERMISSIVE).chains.lengths.tolist() == [4, 3]


def test_the_alternate_location_of_highest_occupancy_is_taken(saved):
    def edit(rows):
        extra = []
        for row in rows:
            if row["number"] == 3:
                extra += [{**row, "alt": "A", "occ": 0.3, "x": row["x"] + 0.5}, {**row, "alt": "B", "occ": 0.7}]
            else:
                extra.append(row)
        return extra

    found = read(saved(edit))
    assert float((found.chains.xyz - helix(8).xyz).abs().max()) < 1e-3
    assert str(found.notes[0]) == "chain 'A' residue 3: alternate locations A, B; B taken"


def test_insertion_codes_renumber_the_chain_and_are_noted(saved):
    found = read(saved(lambda rows: [{**row, "number": 3, "code": "A"} if row["number"] == 4 else row for row in rows]))
    assert found.chains.numbers[0].tolist() == list(range(1, 9))
    assert "3A" in str(found.notes[0])


def test_lower_case_chains_are_their_own(saved):
    found = read(saved(lambda rows: [*rows, *({**row, "chain": "a", "x": row["x"] + 30} for row in rows)]))
    assert found.chains.labels == ("A", "a")


@pytest.mark.parametrize(("name", "letter"), [("MSE", "M"), ("SEP", "S"), ("ZZZ", "X"), ("UNK", "X")])
def test_other_residues_become_their_parent_or_unknown_and_never_glycine(saved, name, letter):
    found = read(
        saved(lambda rows: [{**row, "name": name, "kind": "HETATM"} if row["number"] == 2 else row for row in rows])
    )
    assert found.chains.letters(0) == "A" + letter + "A" * 6
    assert len(found.notes) == (name != "UNK")


def test_water_is_left_out(saved):
    water = {"kind": "HETATM", "atom": "O", "name": "HOH", "number": 90, "x": 50.0}
    assert read(saved(lambda rows: [*rows, {**rows[0], **water}])).chains.lengths.tolist() == [8]


def test_a_d_residue_is_found(saved):
    def edit(rows):
        chains, extra = helix(8), []
        for row in rows:
            extra.append(row)
            if row["atom"] == "C":
                i = row["number"] - 1
                cb, (n, ca, c) = chains.cb[0, i], chains.xyz[0, i]
                normal = torch.linalg.cross(n - ca, c - ca)
                normal = normal / normal.norm()
                flipped = cb - 2 * ((cb - ca) @ normal) * normal
                x, y, z = (flipped if i == 3 else cb).tolist()
                extra.append({**row, "atom": "CB", "x": x, "y": y, "z": z})
        return extra

    found = read(saved(edit))
    report = validate(found.chains, cb=found.cb)
    assert float(report.numbers["chirality"]) == pytest.approx(7 / 8)
    assert "chirality" in report.rows()[0]["broken"]
    assert float(validate(found.chains).numbers["chirality"]) == 1.0


@pytest.mark.parametrize(("name", "text"), [("x.pdb", ""), ("x.cif", "data_x\n"), ("x.txt", "A"), ("x.bcif", "no")])
def test_other_files_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name):
        read(tmp_path / name)
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path / "absent.pdb")
