"""The commands that draw: files that readers take, reports, and bad inputs that are refused with the fix."""

from __future__ import annotations

import json
import math

import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.cli import app
from scidiff.domains.proteins.errors import StructureError
from scidiff.domains.proteins.run_folder import write_report
from scidiff.domains.proteins.structures import read, read_models
from scidiff.domains.proteins.torsion import model as torsion_model
from scidiff.domains.proteins.view import picture_html, view
from scidiff.domains.proteins.writers import write
from typer.testing import CliRunner

from scidiff.errors import ConfigError, DataError

from .protein_cases import helix
from .test_closure import native
from .test_scaffolds import problem_folder
from .torsion_cases import untrained

RUN = CliRunner()


@pytest.fixture
def small(monkeypatch):
    """An untrained model in the place of the bundled one."""
    monkeypatch.setattr(torsion_model, "load", lambda model="chains", *, device="cpu": untrained())


def invoke(*words, fails: type[Exception] | None = None):
    done = RUN.invoke(app, [str(word) for word in words])
    if fails is None:
        assert done.exception is None, done.exception
        return done.output
    assert isinstance(done.exception, fails), done.output
    return str(done.exception)


def test_sample_writes_files_that_two_readers_take(small, tmp_path):
    gemmi = pytest.importorskip("gemmi")
    words = ["sample", "--count", 2, "--length", 24, "--steps", 1, "--seed", 3, "--out", tmp_path / "o", "--no-relax"]
    facts = json.loads(invoke(*words, "--models", "--trajectory", "--json", "-"))
    assert len(read_models(tmp_path / "o" / "trajectory.cif")) == 2
    assert facts["files"] == ["sample_000.cif", "sample_001.cif"] and facts["count"] == 2
    one = read(tmp_path / "o" / "sample_001.cif").chains
    other = gemmi.read_structure(str(tmp_path / "o" / "sample_001.cif"))[0]
    assert one.lengths.tolist() == [24] == [len(chain) for chain in other]
    at = other[0][5].find_atom("CA", "*").pos
    assert torch.tensor([at.x, at.y, at.z]).double() == pytest.approx(one.ca[0, 5], abs=1e-3)
    assert len(read_models(tmp_path / "o" / "models.cif")) == 2
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert len(report["chains"]) == 2 and report["gates_together"]["real_chains"] > 0.5
    again = json.loads(invoke(*words[:-3], "--out", tmp_path / "p", "--no-relax", "--json", "-"))
    assert again["records"] == facts["records"]


def test_lengths_go_in_turn_and_symmetry_is_exact(small, tmp_path):
    words = ["sample", "--count", 3, "--lengths", "22,24", "--steps", 1, "--no-relax", "--symmetry", "C3"]
    facts = json.loads(invoke(*words, "--out", tmp_path, "--json", "-"))
    assert facts["symmetry_error"] < 1e-4 and facts["clashes_between_copies"] == [0, 0, 0]
    sizes = [read(tmp_path / name).chains.lengths.tolist() for name in facts["files"]]
    assert sizes == [[22] * 3, [24] * 3, [22] * 3]


def test_frozen_residues_of_a_start_do_not_move(small, tmp_path):
    start = write(tmp_path / "s.cif", native())
    words = ["sample", "--start", start, "--freeze", "A5-10", "--count", 1, "--steps", 1, "--level", 0.3]
    facts = json.loads(invoke(*words, "--out", tmp_path / "o", "--json", "-"))
    assert facts["frozen"] == 6 and facts["frozen_moved"] == [0.0]
    one = read(tmp_path / "o" / "sample_000.cif").chains
    # mmCIF is written in single precision, three to five decimals
    assert float((one.xyz - read(start).chains.xyz)[0, 4:10].abs().max()) < 2e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--length", 20, "--lengths", "20,30"], "give one of them"),
        (["--lengths", "20;x"], "write 48,60,72"),
        (["--lengths", ","], "write 48,60,72"),
        (["--freeze", "A5-10"], "without --start"),
        (["--level", 0.3], "--level came without --start"),
        (["--start", "s.cif", "--secondary", "HHHH", "--no-relax"], "came with --secondary and --no-relax"),
        (["--start", "s.cif", "--length", 0], "came with --length"),
        (["--models", "--count", 2, "--lengths", "20,30"], "equal residues"),
        (["--trajectory", "--secondary", "-" * 20], "whose plan is drawn"),
        (["--symmetry", "C0"], "order from 1 to 60"),
        (["--symmetry", "D1"], "C2 instead of D1"),
        (["--symmetry", "K3"], "is not known"),
        (["--length", 5], "draws 20 to 100"),
    ],
    ids=[
        *("two lengths", "lengths", "no length", "freeze", "level", "start", "length of a start", "models", "path"),
        *("C0", "D1", "K3", "short"),
    ],
)
def test_what_sample_refuses(small, tmp_path, words, message):
    assert message in invoke("sample", *words, "--steps", 1, "--out", tmp_path / "o", fails=ConfigError)
    assert not (tmp_path / "o").exists()


def test_a_motif_is_scaffolded_from_contigs(small, tmp_path):
    file = write(tmp_path / "m.cif", native())
    words = ["motif", file, "--contigs", "4-6/A5-10/5-8", "--count", 2, "--steps", 1, "--compare", 2]
    facts = json.loads(invoke(*words, "--out", tmp_path / "o", "--json", "-"))
    assert max(facts["motif_rmsd"]) < 1e-3 and facts["numbers"][0]
    where = {old: new for new, old in facts["numbers"][0].items()}
    first = int(where["A5"][1:]) - 1
    found = read(tmp_path / "o" / facts["files"][0]).chains
    # the motif lies where the reference has it
    assert float((found.xyz[0, first : first + 6] - native().xyz[0, 4:10]).abs().max()) < 2e-3
    header = (tmp_path / "o" / facts["files"][0]).read_text(encoding="utf-8")
    assert "scidiff proteins motif" in header and "scidiff proteins sample" not in header
    assert "holds another run (report.json" in invoke(*words, "--out", tmp_path / "o", fails=ConfigError)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--length", 20], "--length came without --contigs"),
        (["--hidden", "A5", "--length", 20], "--hidden and --length came without --contigs"),
        (["--contigs", "4/A5-10/4", "--no-guide", "--particles"], "--no-guide came with --particles"),
        (["--contigs", "4/A5-10/4", "--no-guide", "--sd", 1], "--no-guide came with --sd"),
        (["--contigs", "4/A5-10/4", "--particles", "--count", 1], "two chains at least"),
    ],
    ids=["length", "hidden", "particles", "spread", "one particle"],
)
def test_options_of_motif_that_would_be_ignored_are_refused(small, tmp_path, words, message):
    file = write(tmp_path / "m.cif", native())
    assert message in invoke("motif", file, *words, "--out", tmp_path / "o", fails=ConfigError)
    assert not (tmp_path / "o").exists()


def test_the_path_is_that_of_the_first_sample(small, tmp_path):
    words = ["sample", "--count", 2, "--length", 24, "--steps", 1, "--temperature", 0.5, "--no-relax", "--trajectory"]
    invoke(*words, "--out", tmp_path / "o")
    first = read(tmp_path / "o" / "sample_000.cif").chains
    last = read(tmp_path / "o" / "trajectory.cif", model=2).chains
    # both files have three decimals
    assert float((first.xyz - last.xyz).abs().max()) < 2e-3


def test_a_folder_of_problems_becomes_a_submission(small, tmp_path):
    folder, _ = problem_folder(tmp_path)
    words = ["motif", folder, "--count", 2, "--steps", 1, "--compare", 0, "--out", tmp_path / "o", "--json", "-"]
    facts = json.loads(invoke(*words))
    assert facts["problems"]["01_1ABC"]["layout_faults"] == []
    assert (tmp_path / "o" / "01_1ABC" / "scaffold_info.csv").is_file()
    assert "not measured" in facts["designability"]


@pytest.mark.parametrize(
    ("contigs", "more", "kind", "message"),
    [
        ("4/A5-40/4", [], StructureError, "residue 29"),
        ("4/a5-10/4", [], StructureError, "did you mean 'A'"),
        ("4/A5-20/4", ["--length", 12], ConfigError, "the length asked for is 12"),
        ("4/A5/A10-5/4", [], ConfigError, "write A5-10"),
        ("", [], ConfigError, "without --contigs"),
    ],
    ids=["gap", "lower case", "too long", "order", "none"],
)
def test_what_motif_refuses(small, tmp_path, contigs, more, kind, message):
    file = write(tmp_path / "m.cif", native())
    assert message in invoke("motif", file, "--contigs", contigs, *more, "--out", tmp_path / "o", fails=kind)


def test_evaluate_reads_a_folder(tmp_path):
    for k in range(2):
        write(tmp_path / f"{k}.cif", helix(24))
    facts = json.loads(invoke("evaluate", tmp_path, "--no-reference", "--json", "-"))
    assert facts["count"] == 2 and facts["set"]["mean_pairwise_tm"]["value"] == pytest.approx(1.0, abs=1e-4)
    (tmp_path / "empty").mkdir()
    assert "holds no file" in invoke("evaluate", tmp_path / "empty", fails=Exception)


def test_evaluate_reads_the_samples_of_a_run_alone(small, tmp_path):
    words = ["sample", "--length", 24, "--steps", 1, "--no-relax", "--models", "--trajectory"]
    out = tmp_path / "o"
    invoke(*words, "--count", 3, "--out", out)
    facts = json.loads(invoke("evaluate", out, "--no-reference", "--json", "-"))
    assert facts["count"] == 3
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "give a new folder" in invoke(*words, "--count", 2, "--out", out, fails=ConfigError)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "sample_001.cif").unlink()
    assert "1 are missing (sample_001.cif" in invoke("evaluate", out, "--no-reference", fails=DataError)
    (out / "report.json").unlink()
    facts = json.loads(invoke("evaluate", out, "--no-reference", "--json", "-"))
    assert facts["count"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ('{"files": ["../a.cif"]}', "in the same folder"), ('{"files": []}', "holds no file")],
    ids=["cut", "elsewhere", "none"],
)
def test_a_report_that_names_no_samples_is_refused(tmp_path, text, message):
    write(tmp_path / "a.cif", helix(24))
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    assert message in invoke("evaluate", tmp_path, "--no-reference", fails=DataError)


def test_a_report_is_json_whatever_the_numbers_are(tmp_path):
    path = write_report(tmp_path / "o", {"means": {"rg": math.nan}, "rows": [math.inf, 1.0]})
    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail) == {
        "means": {"rg": None},
        "rows": [None, 1.0],
    }


def test_relax_and_bonds_between_chains_from_the_command_line(tmp_path):
    file = write(tmp_path / "m.cif", helix(20))
    assert "after True" in invoke("repair", file, "--relax", "--out", tmp_path / "r.cif")
    invoke("assemble", file, "--symmetry", "C2", "--out", tmp_path / "c2.cif")
    done = RUN.invoke(app, ["validate", str(tmp_path / "c2.cif"), "--together", "--json", "-"], standalone_mode=False)
    assert json.loads(done.output)["together"][0]["helix"] > 0.5


def test_notebooks_see_chains():
    chains = Chains.cat([helix(20), helix(24)])
    assert picture_html(chains).startswith('<img src="data:image/png;base64,')
    pytest.importorskip("py3Dmol")
    shown = view(chains)
    assert "cartoon" in shown._make_html()
