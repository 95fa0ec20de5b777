"""The commands: what they print, what they write, and their exit codes."""

from __future__ import annotations

import json

import pytest

from scidiff import cli
from scidiff.campaign.slurm import Slurm, read_slurm
from scidiff.campaign.specification import SpecificationError

SPEC = """
domain = "cheap"
model = "none"
count = 30
[[scores]]
name = "first"
[objectives]
maximise = ["first"]
[diversity]
count = 4
[shards]
rows = 10
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


def test_a_campaign_from_the_command_line(spec, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert cli.main(["campaign", "check", str(spec)]) == 0
    assert "rows: 30" in capsys.readouterr().out
    assert cli.main(["campaign", "run", str(spec), "--out", out, "--workers", "0", "--json", "-"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["rows"] == 30
    assert told.err == ""
    assert cli.main(["campaign", "status", out]) == 0
    assert "30 of 30 rows in 3 of 3 shards" in capsys.readouterr().out
    assert cli.main(["campaign", "select", out, "--where", "first < 0.9", "--out", str(tmp_path / "a.csv")]) == 0
    assert "picked 4" in capsys.readouterr().out
    assert cli.main(["campaign", "export", out, "--out", str(tmp_path / "b.csv")]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert cli.main(["campaign", "export", out, "--out", str(tmp_path / "c.csv"), "--where", "true"]) == 0
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 31


def test_quarantined_shards_are_told_and_exit_code_1(spec, tmp_path, capsys):
    spec.write_text(SPEC + "[conditions]\nerror = 15\n")
    assert cli.main(["campaign", "run", str(spec), "--out", str(tmp_path / "run"), "--workers", "0"]) == 1
    assert "shard 1 is quarantined: ConfigError: index 15 is not wanted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere.toml", "--out", "x"], "cannot read nowhere.toml"),
        (["run", "SPEC", "--out", "x", "--scheduler", "tcp://a:1", "--slurm", "b.toml"], "give one of them"),
        (["run", "SPEC", "--out", "x", "--workers", "2", "--slurm", "b.toml"], "workers and slurm came together"),
        (["run", "SPEC", "--out", "x", "--workers", "0", "--scheduler", "tcp://a:1"], "give one of them"),
        (["run", "SPEC", "--out", "x", "--workers", "-1"], "--workers"),
        (["run", "SPEC", "--out", "nosuch://x", "--workers", "0"], "nosuch"),
        (["status", "nowhere"], "expected the folder of a campaign"),
        (["selct"], "Did you mean 'select'?"),
    ],
    ids=["no-file", "both", "workers-slurm", "workers-scheduler", "workers", "protocol", "no-folder", "command"],
)
def test_bad_input_is_one_line(spec, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["campaign", *(str(spec) if word == "SPEC" else word for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and says in error
    assert not (tmp_path / "x").exists()


SLURM = 'queue = "short"\njobs = 3\ncores = 8\nworkers = 4\nmemory = "16GB"\nwalltime = "02:30:00"\n'


def test_the_script_of_a_job_asks_for_what_the_settings_say(tmp_path, capsys):
    path = tmp_path / "slurm.toml"
    path.write_text(SLURM + 'directives = ["--gres=gpu:1"]\nprologue = ["module load cuda"]\n')
    assert cli.main(["campaign", "script", str(path), "--threads", "2", "--scheduler", "tcp://head:8786"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("#!")
    for line in ("#SBATCH -p short", "#SBATCH --cpus-per-task=8", "#SBATCH -t 02:30:00", "#SBATCH --gres=gpu:1"):
        assert line in lines
    start = next(k for k, line in enumerate(lines) if "dask_worker" in line)
    assert "export OMP_NUM_THREADS=2" in lines[:start] and "module load cuda" in lines[:start]
    assert "tcp://head:8786" in lines[start]
    assert "--nworkers 4" in lines[start] and "--nthreads 1" in lines[start] and "--nanny" in lines[start]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('walltime = "one day"', "walltime"),
        ("cores = 0", "cores"),
        ('memry = "1GB"', "memry"),
        ("memory = 4", "memory"),
    ],
    ids=["walltime", "cores", "unknown", "memory"],
)
def test_settings_of_no_use_are_refused(tmp_path, text, field):
    path = tmp_path / "slurm.toml"
    path.write_text("\n" + text)
    with pytest.raises(SpecificationError, match=rf"line 2: {field}:"):
        read_slurm(path)


def test_a_cluster_of_slurm_is_made_with_these_settings():
    """Without SLURM no job starts; the scheduler and the script of a job are there all the same."""
    dask_jobqueue = pytest.importorskip("dask_jobqueue")
    settings = Slurm(cores=2, workers=2, memory="2GB", interface="lo").settings(1)
    with dask_jobqueue.SLURMCluster(**settings, scheduler_options={"dashboard_address": None}) as cluster:
        assert "--nworkers 2" in cluster.job_script()
