"""Design specifications: parse, print, parse; errors that name the residue; uniform lengths; exact motifs."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.contigs import (
    contigs,
    hidden_contigs,
    parse_contigs,
    read_motif_pdb,
    read_motifbench,
)
from scidiff.domains.proteins.design import Break, Design, Fixed, Free, layouts
from scidiff.domains.proteins.errors import StructureError
from scidiff.domains.proteins.motif import graft, motif_rmsd
from scidiff.domains.proteins.structures import read

from scidiff.errors import ConfigError, DataError

from .protein_cases import helix, random_rotation, shaken


def reference() -> Chains:
    """Chain A with numbers 10 to 29, chain b with 1 to 8."""
    numbers = torch.arange(20).repeat(2, 1) + torch.tensor([[10], [1]])
    letters = ["ACDEFGHIKLMNPQRSTVWY", "ACDEFGHI"]
    return Chains.of([helix(20).xyz[0], helix(8).xyz[0] + 15], letters, labels=("A", "b"), numbers=numbers)


@pytest.mark.parametrize(
    "text",
    ["5-15/A10-25/30-40", "A10-12/0 b1-8", "12-12", "0-5/A10-10/0-5/b2-4", "3-3/AA5-9/4-4/0 7-9/0 B1-3", "10/A12/10"],
)
def test_parse_print_parse_is_the_identity(text):
    design = parse_contigs(text)
    assert parse_contigs(contigs(design)) == design
    assert contigs(parse_contigs(contigs(design))) == contigs(design)


def test_what_a_contig_means():
    design = parse_contigs("['10-20/A10-12/7/0 b3']", hidden="A11", length="15-30", symmetry="D3")
    fixed = Fixed("A", 10, 12, (11,))
    assert design.segments == (Free(10, 20), fixed, Free(7, 7), Break(), Fixed("b", 3, 3))
    assert design.length == (15, 30)
    assert hidden_contigs(design) == "A11"
    assert design.bounds == (21, 31)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A25-10", "write A10-25"),
        ("A10-A20", "write A10-20"),
        ("5-", "write A10-25, A10 or 5-15"),
        ("20-10", "smaller number first"),
        ("A5-9/3/A9-12", "A9 is kept twice"),
        ("", "empty"),
        ("99999", "10000"),
    ],
)
def test_what_cannot_be_read_names_the_fix(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_contigs(text)


def test_hidden_residues_have_to_be_kept():
    with pytest.raises(ConfigError, match="A30 is not kept"):
        parse_contigs("5/A10-20", hidden="A30")
    with pytest.raises(ConfigError, match="write A5"):
        parse_contigs("5/A10-20", hidden="5")


def test_a_motif_longer_than_the_design_is_refused():
    with pytest.raises(ConfigError, match=r"of which 20 are kept.* asked for is 15 to 15"):
        parse_contigs("0-5/A10-29/0-5", length="15")


def test_an_impossible_symmetry_is_refused():
    with pytest.raises(ConfigError, match="D1"):
        parse_contigs("10", symmetry="D1")


def test_missing_residues_are_named():
    with pytest.raises(StructureError, match=r"chain 'A' residue 30: .*A10-29: divide"):
        layouts(parse_contigs("A28-33"), reference(), 1, 0)
    with pytest.raises(StructureError, match="did you mean 'b'"):
        layouts(parse_contigs("B1-3"), reference(), 1, 0)
    with pytest.raises(StructureError, match="it has A, b"):
        layouts(parse_contigs("Q1-3"), reference(), 1, 0)


def test_a_layout_maps_the_numbers():
    layout = layouts(parse_contigs("2/A12-13/1/0 b8", hidden="A13"), reference(), 1, 0)[0]
    assert layout.source.tolist() == [[-1, -1], [-1, -1], [0, 2], [0, 3], [-1, -1], [1, 7]]
    assert layout.hidden.tolist() == [False, False, False, True, False, False]
    assert layout.chain.tolist() == [0, 0, 0, 0, 0, 1]
    assert layout.table == {(0, 3): ("A", 12), (0, 4): ("A", 13), (1, 1): ("b", 8)}


def test_lengths_are_uniform_among_all_that_fit():
    """Three segments of 0 to 3 with a total of 4: twelve combinations; 5 sd of a count of 100 are 50."""
    design = Design((Free(0, 3), Fixed("A", 10, 10), Free(0, 3), Fixed("A", 12, 12), Free(0, 3)), (6, 6))
    drawn = Counter()
    for layout in layouts(design, reference(), 1200, 0):
        kept = layout.fixed.nonzero()[0]
        drawn[int(kept[0]), int(kept[1] - kept[0] - 1)] += 1
        assert len(layout) == 6
    assert len(drawn) == 12
    assert all(50 < count < 150 for count in drawn.values())


def test_a_layout_depends_on_its_seed_and_number_alone():
    design = parse_contigs("5-50/A10-12/5-50")
    one, more = layouts(design, reference(), 2, 4), layouts(design, reference(), 5, 4)
    assert [len(x) for x in one] == [len(x) for x in more[:2]]
    assert len({len(x) for x in layouts(design, reference(), 20, 5)}) > 5


def test_native_motifs_have_rmsd_zero_and_grafts_are_exact():
    source = reference()
    layout = layouts(parse_contigs("3/A13-20/4"), source, 1, 0)[0]
    native = source.part(0, 0, 15).moved(random_rotation(3), torch.tensor([5.0, 6.0, 7.0]))
    # the root of round-off
    assert motif_rmsd(native, layout, source)[0] < 1e-6
    other = shaken(native, 0.5)
    assert motif_rmsd(other, layout, source)[0] > 0.3
    done = graft(other, layout, source)
    assert motif_rmsd(done.chains, layout, source)[0] < 1e-6
    assert done.rmsd > 0.3
    assert len(done.junctions) == 2
    assert done.chains.letters(0)[3:11] == "EFGHIKLM"
    assert torch.equal(done.chains.xyz[0, :3], other.xyz[0, :3])


def test_groups_move_apart_from_each_other():
    source = reference()
    fixed = (Fixed("A", 10, 15), Free(2, 2), Fixed("b", 1, 6, group=1))
    layout = layouts(Design(fixed), source, 1, 0)[0]
    one, two = source.xyz[0, :6], source.xyz[1, :6] @ random_rotation(4).T + 30
    design = Chains.of([torch.cat((one, torch.rand(2, 3, 3).double(), two))])
    assert max(motif_rmsd(design, layout, source).values()) < 1e-6
    same = layouts(
        Design(tuple(Fixed(p.chain, p.start, p.stop) if isinstance(p, Fixed) else p for p in fixed)), source, 1, 0
    )
    assert motif_rmsd(design, same[0], source)[0] > 1


def test_a_design_without_motif_has_none():
    layout = layouts(parse_contigs("12"), reference(), 1, 0)[0]
    with pytest.raises(ConfigError, match="keeps no residue"):
        motif_rmsd(helix(12), layout, reference())
    kept = layouts(parse_contigs("A10-14"), reference(), 1, 0)[0]
    with pytest.raises(ConfigError, match="of \\[12\\] residues, its layout of \\[5\\]"):
        motif_rmsd(helix(12), kept, reference())


def test_motifbench_rows_and_remarks_agree(scidiff_data):
    folder = scidiff_data / "proteins" / "motifbench"
    problems = read_motifbench(folder / "test_cases.csv")
    assert len(problems) == 10
    for problem in problems:
        path = folder / "motif_pdbs" / f"{problem.name}.pdb"
        other = read_motif_pdb(path)
        assert (other.pdb_id, other.length, other.name) == (problem.pdb_id, problem.length, problem.name)
        assert [len(part) for part in other.segments] == [len(part) for part in problem.segments]
        assert [len(part.hidden) for part in other.segments] == [len(part.hidden) for part in problem.segments]
        motif = read(path).chains
        for layout in layouts(other.design, motif, 3, 0):
            assert len(layout) == problem.length
            assert int(layout.fixed.sum()) == sum(map(len, problem.segments))
        native = layouts(Design(other.segments, any_order=False), motif, 1, 0)[0]
        assert motif_rmsd(Chains.of([motif.xyz[motif.mask]]), native, motif)[0] < 1e-6


def test_broken_problem_files_say_where(tmp_path):
    (tmp_path / "cases.csv").write_text(
        "problem,pdb_id,motif_residues,redesign_idcs,length,group\n01,1ABC,A9-2,,90,1\n"
    )
    with pytest.raises(DataError, match=r"line 2.*write A2-9"):
        read_motifbench(tmp_path / "cases.csv")
    from scidiff.domains.proteins.writers import write

    write(tmp_path / "motif.pdb", helix(5))
    with pytest.raises(DataError, match="REMARK"):
        read_motif_pdb(tmp_path / "motif.pdb")
