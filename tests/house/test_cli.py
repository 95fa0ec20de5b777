"""The command line: one clear line on bad input, the right exit code, nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import typer

from scidiff import cli
from scidiff.domain import DemoSection, Domain, Picture, Row
from scidiff.errors import DataError
from scidiff.registry import Entry

ROWS = (
    Row("valid", "measured", 1.0, (0.996, 1.0), bar=0.99, baseline=0.87, baseline_name="without the rule", calls=20),
    Row("w1", "exact", 0.01, bar=0.05, above=False, unit="nm", seconds=1.5),
)


class Points:
    title, size, source, licence = "Points [of a line]", 1500, "made here", "none"

    def get(self, folder, progress):
        (folder / "points.csv").write_text("x\n")
        return folder / "points.csv"


DATASETS = {"points": Points()}
app = typer.Typer()


@app.command()
def fail(how: str) -> None:
    raise {"data": DataError("row 3 is empty; delete it"), "bug": ZeroDivisionError("by zero")}[how]


@app.command()
def fine() -> None:
    print("fine")


def make(name: str, home: Path, rows: tuple[Row, ...] = ROWS) -> Domain:
    picture = Picture("A <dot>", '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    section = DemoSection("Toys & more", "A lead.", rows, (picture,), ("scidiff toys fine",), 20, 1.25)
    return Domain(
        name, "Toys", home, f"{__name__}:app", lambda *_: section, lambda *_: iter(rows), f"{__name__}:DATASETS", "3"
    )


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """Put one small domain in the place of all others."""
    from scidiff import demo, doctor, registry
    from scidiff.bench import runner

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.txt").write_text("abc")
    domain = make("toys", tmp_path)
    for module in (cli, demo, runner, registry, doctor):
        if hasattr(module, "domains"):
            monkeypatch.setattr(module, "domains", lambda: {"toys": Entry("toys", "nowhere:DOMAIN", "Small things.")})
            monkeypatch.setattr(module, "load_domain", lambda name: domain)
    return domain


def test_the_commands_of_a_domain_are_mounted(toys, capsys):
    assert cli.main(["--help"]) == 0
    assert "Small things." in capsys.readouterr().out
    assert cli.main(["toys", "fine"]) == 0
    assert capsys.readouterr().out == "fine\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["toys", "fail", "data"], "row 3 is empty; delete it"),
        (["toys", "fial"], "No such command 'fial'"),
        (["toyz"], "Did you mean 'toys'?"),
        (["bench", "toyz"], "unknown suite 'toyz'; known: core, toys. Did you mean 'toys'?"),
        (["bench"], "suite"),
        (["bench", "toys", "--seed", "x"], "--seed"),
        (["bench", "toys", "--seed", "-1"], "--seed"),
        (["data", "get", "point"], "Did you mean 'points'?"),
        (["bench", "toys", "--json", "."], "folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(toys, capsys, args, says):
    assert cli.main(args) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("scidiff: ")
    assert says in error


def test_an_error_of_the_program_is_one_line_and_exit_code_1(toys, capsys):
    assert cli.main(["toys", "fail", "bug"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ZeroDivisionError: by zero" in error
    assert "Traceback" not in error


def test_the_traceback_comes_when_it_is_asked_for(toys, monkeypatch):
    monkeypatch.setenv("SCIDIFF_DEBUG", "1")
    with pytest.raises(DataError, match="row 3"):
        cli.main(["toys", "fail", "data"])


def test_a_benchmark_prints_and_writes_the_same_rows(toys, capsys, tmp_path):
    out = tmp_path / "report.json"
    assert cli.main(["bench", "toys", "--fast", "--seed", "7", "--json", str(out)]) == 0
    table = capsys.readouterr().out
    assert "1 [0.996, 1]" in table
    assert "≤ 0.05" in table
    assert cli.main(["bench", "toys", "--fast", "--seed", "7", "--json", "-"]) == 0
    printed, written = json.loads(capsys.readouterr().out), json.loads(out.read_text())
    assert printed["rows"] == written["rows"]
    assert [row["passed"] for row in written["rows"]] == [True, True]
    assert set(written["rows"][0]) >= set("name label value interval bar passed baseline calls seconds".split())
    assert written["protocol"] == "toys/3"
    assert written["seeds"] == [7]
    # SHA-256 of "abc", FIPS 180-4
    assert written["data"]["data/table.txt"].startswith("ba7816bf8f01cfea")
    assert written["hardware"]["cores"] >= 1


def test_a_missed_bar_is_exit_code_1(monkeypatch, toys, tmp_path, capsys):
    from scidiff.bench import runner

    missed = make("toys", tmp_path, (Row("valid", "measured", 0.9, bar=0.99),))
    monkeypatch.setattr(runner, "load_domain", lambda name: missed)
    assert cli.main(["bench", "toys"]) == 1


def test_data_sets_are_listed_and_fetched(toys, capsys, tmp_path):
    assert cli.main(["data", "list"]) == 0
    assert "Points [of a line]" in capsys.readouterr().out
    assert cli.main(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"]["size"] == 1500
    assert cli.main(["data", "get", "points", "--folder", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()).read_text() == "x\n"


def test_the_demonstration_is_one_page(toys, capsys, tmp_path):
    out = tmp_path / "page" / "index.html"
    assert cli.main(["demo", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    page = out.read_text(encoding="utf-8")
    assert "Toys &amp; more" in page
    assert "1 [0.996, 1]" in page
    assert "<script" not in page, "SVG markup has to stay inside an image"
    assert "data:image/svg+xml;base64," in page
    assert 'src="http' not in page
    assert "scidiff toys fine" in page


def test_a_failed_demonstration_leaves_no_page(toys, monkeypatch, capsys, tmp_path):
    from scidiff import demo

    def broken(name):
        raise DataError("the model is gone; install again")

    monkeypatch.setattr(demo, "load_domain", broken)
    assert cli.main(["demo", "--out", str(tmp_path / "index.html")]) == 2
    assert "the model is gone" in capsys.readouterr().err
    assert not (tmp_path / "index.html").exists()


def run(*args: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "scidiff", *args], capture_output=True, text=True, **more)


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(
        f"'{sys.executable}' -m scidiff --help | true",
        shell=True,
        capture_output=True,
        text=True,
        executable="/bin/bash",
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_an_interrupt_is_exit_code_130():
    wait = "import time\n@c.app.command()\ndef wait():\n    print('on', flush=True)\n    time.sleep(60)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import scidiff.cli as c\n{wait}raise SystemExit(c.main(['wait']))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background may have been told to ignore interrupts
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error


def test_the_version_is_printed():
    import scidiff

    assert run("--version").stdout.strip() == scidiff.__version__
