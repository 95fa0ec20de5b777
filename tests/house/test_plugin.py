"""A science in a package of its own: the example is found by its entry point, is what it says, and learned its data."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from scidiff import registry
from scidiff.cli import main
from scidiff.errors import ScidiffError
from scidiff.random import Noise
from scidiff.testing import check_bench, check_demo, check_domain

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "scidiff-crystals"
CAMPAIGN = """\
domain = "crystals"
model = "crystals"
count = 24
[sampler]
steps = 5
[[scores]]
name = "warmth"
[[filters]]
score = "warmth"
most = 20.0
[shards]
rows = 8
"""


def metadata_of(example: Path, folder: Path) -> None:
    """Write what an installer would: name, version and entry points of the package."""
    project = tomllib.loads((example / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items()) for group, points in groups
    )
    (info / "entry_points.txt").write_text("".join(lines))


@pytest.fixture
def domain(tmp_path, monkeypatch):
    """The example as if it were installed: its metadata lie on the path, and its code."""
    metadata_of(EXAMPLE, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield registry.load_domain("crystals")
    for name in [name for name in sys.modules if name.partition(".")[0] == "scidiff_crystals"]:
        del sys.modules[name]


def test_the_entry_point_is_found_with_its_source(domain):
    entry = registry.domains()["crystals"]
    assert (entry.source, entry.target) == ("scidiff-crystals", "scidiff_crystals:DOMAIN")
    check_domain(domain)
    assert [path.name for path in domain.models] == ["crystals.safetensors"]
    assert sum(path.stat().st_size for path in domain.bundled) < 500_000


def test_the_demonstration_and_the_benchmark_keep_their_contracts(domain, tmp_path):
    (tmp_path / "demo").mkdir()
    section = check_demo(domain, tmp_path / "demo")
    assert all(row.passed is not False for row in section.rows)
    check_bench(_Measured(domain, section.rows))


class _Measured:
    """Rows that are there already, to be checked as a benchmark."""

    def __init__(self, domain, rows):
        self.bench_rows = lambda fast, seed: iter(rows)


def test_heat_is_that_of_the_harmonic_crystal(domain):
    """``d.H d / 2`` of a draw is ``kT / 2`` times a chi-squared of 21; four standard errors of 2000 draws."""
    from scidiff_crystals import crystals

    for x in crystals._CRYSTALS:
        hessian = torch.func.hessian(crystals.energy)(x).reshape(24, 24)
        modes = crystals.thermal_modes(x)
        shift = torch.ones(8, 1, dtype=torch.float64).kron(torch.eye(3, dtype=torch.float64))
        # three translations cost nothing, the crystal is a minimum, and the modes are unit heat each
        assert float((hessian @ shift).abs().max()) < 1e-9 * float(hessian.abs().max())
        torch.testing.assert_close(modes.T @ hessian @ modes, torch.eye(21, dtype=torch.float64), atol=1e-9, rtol=0)
    excess = crystals.certify(crystals.draw_cells(2000, 3)).excess / crystals.KT
    # the energy is not quite harmonic: the third and fourth derivatives add less than two kT
    assert -4 * math.sqrt(10.5 / 2000) < float(excess.mean()) - 10.5 < 2


def test_the_network_commutes_with_the_symmetries_of_the_cube(domain):
    """Translations, exchanges of like atoms, and all 48 signed permutations of the axes; float64 round-off."""
    from scidiff_crystals.model import load

    network = load().network.double()
    x = 2 * math.pi * Noise.range(1, 4).uniform((8, 3), step=0, stream="cells")
    t = torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=torch.float64)
    v = network(x, t, t)
    order = torch.tensor([2, 0, 3, 1, 5, 4, 7, 6])
    turn = torch.tensor([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    for other, expected in (
        (x + 1.234, v),
        (x[:, order], v[:, order]),
        (x @ turn.T, v @ turn.T),
        (-x, -v),
    ):
        torch.testing.assert_close(network(other, t, t), expected, atol=1e-9, rtol=1e-9)
    assert float(v.detach().mean(1).abs().max()) < 1e-12


def test_alignment_only_exchanges_and_moves_and_never_lengthens_the_way(domain):
    from scidiff_crystals.crystals import SPACE, align, distances, draw_cells

    x, to = SPACE.uniform(Noise.range(2, 50), (8, 3), step=0, stream="x"), draw_cells(50, 2)
    found = align(x, to)
    a, b = (distances(each).amin(-1).sort(-1).values for each in (x, found))
    torch.testing.assert_close(a, b)
    way = [SPACE.log(each, to).square().sum((-1, -2)) for each in (x, align(x, to, rounds=1), found)]
    assert bool((way[1] <= way[0] + 1e-9).all() and (way[2] <= way[1] + 1e-9).all())


def test_samples_are_crystals_of_the_right_warmth_and_uniform_atoms_are_not(domain):
    """Bundled model, 200 cells; the benchmark measures a share of 0.74, the bound is at a significance of 1e-3."""
    from scidiff_crystals import certify, draw_cells, load
    from scidiff_crystals.crystals import SPACE

    drawn = load().sample(200, seed=1)
    assert drawn.ok.mean() > 0.74 - 3.1 * math.sqrt(0.74 * 0.26 / 200)
    assert not bool(certify(SPACE.uniform(Noise.range(1, 200), (8, 3), step=0, stream="x")).valid.any())
    assert float(certify(draw_cells(200, 1)).valid.double().mean()) > 0.9
    assert set(drawn.records["phase"][drawn.ok]) == {"rock salt", "zinc blende", "zinc blende, mirrored"}
    again = load().sample(80, seed=1, first=120)
    assert np.allclose(np.stack(again.items), np.stack(drawn.items[120:]), atol=1e-5)


def test_commands_write_what_they_certify(domain, tmp_path, capsys):
    out = tmp_path / "cells.json"
    assert main(["crystals", "sample", "--count", "12", "--steps", "8", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["crystals", "validate", str(out), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    content = json.loads(out.read_text())
    assert told["count"] == 12 and told["valid"] == content["status"].count("ok") / 12
    assert main(["crystals", "sample", "--model", "nothing", "--out", str(out)]) != 0
    out.write_text("{}")
    assert main(["crystals", "validate", str(out)]) != 0
    with pytest.raises(ScidiffError, match="unknown model"):
        domain.load_campaign().fingerprint("nothing")


def test_a_campaign_goes_on_to_the_last_byte(domain, tmp_path):
    from scidiff import campaign
    from scidiff.campaign.state import digest

    (tmp_path / "crystals.toml").write_text(CAMPAIGN)
    (tmp_path / "part.toml").write_text(CAMPAIGN + "[budget]\nrows = 8\n")
    assert campaign.run(tmp_path / "part.toml", tmp_path / "a", workers=0).rows == 8
    outcome = campaign.run(tmp_path / "crystals.toml", tmp_path / "a", workers=0)
    campaign.run(tmp_path / "crystals.toml", tmp_path / "b", workers=0)
    assert outcome.finished and outcome.rows == 24 and outcome.valid > 0
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    picked = campaign.select(tmp_path / "a", count=3, minimise=["warmth"])
    assert campaign.export(tmp_path / "a", tmp_path / "picks.csv", picked) == len(picked)


def test_a_stopped_training_goes_on_and_lowers_the_loss(domain, tmp_path):
    """Sixty steps of small batches halve no error, but lower it by far more than the noise of 500 held-out cells."""
    from scidiff_crystals.model import CrystalTask
    from scidiff_crystals.network import Network

    from scidiff.train import TrainConfig, train

    torch.manual_seed(0)
    task = CrystalTask(Network(16, 1), rows=256, size=32)
    before = task.validate(task.network.requires_grad_(False), 500)
    task.network.requires_grad_(True)
    train(task, TrainConfig(steps=60, learning_rate=1e-2, warmup=10, ema=0.9), tmp_path, accelerator="cpu")
    after = task.validate(task.network.requires_grad_(False), 500)
    assert before["zero"] == after["zero"]
    assert after["held_out"] < 0.95 * before["zero"]


@pytest.mark.slow
def test_the_package_works_where_it_is_installed(tmp_path):
    """Installed without network into a folder of its own: the commands of the page on extensions, in its order."""
    target, source = tmp_path / "installed", tmp_path / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, cwd=tmp_path)
    shutil.rmtree(source / "scidiff_crystals")
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = json.loads(call("scidiff", "doctor", "--json"))
    assert {"crystals": "ok"}.items() <= {entry["name"]: entry["status"] for entry in told["domains"]}.items()
    assert "crystals/crystals" in {entry["name"] for entry in told["models"] if entry["status"] == "ok"}
    call("scidiff", "crystals", "sample", "--count", "20", "--out", "cells.json")
    assert "valid:" in call("scidiff", "crystals", "validate", "cells.json")
    call("pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(source), str(source / "tests"))
    call("scidiff", "campaign", "run", str(source / "campaign.toml"), "--out", "run", "--workers", "2")
    state = json.loads(call("scidiff", "campaign", "status", "run", "--json", "-"))
    assert (state["rows"], state["shards"]) == (200, 4) and state["accepted"] > 0
    call("scidiff", "campaign", "select", "run")
    call("scidiff", "campaign", "export", "run", "--out", "cells.csv")
    assert len((tmp_path / "cells.csv").read_text().splitlines()) > 1
