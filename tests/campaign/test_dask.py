"""Workers in processes of their own: the same content for any number of them, whatever happens to them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from scidiff import campaign
from scidiff.campaign.state import digest

ROOT = Path(__file__).resolve().parents[2]


def spec(**changes):
    base = {"domain": "cheap", "model": "none", "count": 60, "scores": [{"name": "first"}], "shards": {"rows": 8}}
    return campaign.parse({**base, **changes})


def test_two_workers_one_of_which_dies_make_what_one_process_makes(tmp_path):
    """The second run finds the mark of the first kill: the condition, hence the content, is the same."""
    asked = spec(conditions={"kill_once": [str(tmp_path / "mark")]})
    outcome = campaign.run(asked, tmp_path / "two", workers=2)
    assert (tmp_path / "mark").exists()
    assert outcome.finished and not outcome.quarantined and outcome.rows == 60
    campaign.run(asked, tmp_path / "here", workers=0)
    assert digest(tmp_path / "two") == digest(tmp_path / "here")


@pytest.mark.slow
def test_a_shard_that_kills_its_worker_twice_is_quarantined_and_no_other_is(tmp_path):
    outcome = campaign.run(spec(conditions={"kill": [20]}), tmp_path, workers=2)
    assert outcome.quarantined == {2: "its worker died"}
    assert outcome.rows == 52 and outcome.finished


@pytest.mark.slow
def test_a_scheduler_of_ones_own(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        campaign.run(spec(), tmp_path / "there", scheduler=cluster.scheduler_address)
        campaign.run(spec(), tmp_path / "again", scheduler=cluster.scheduler_address)
    campaign.run(spec(), tmp_path / "here", workers=0)
    assert digest(tmp_path / "there") == digest(tmp_path / "here") == digest(tmp_path / "again")
    from scidiff.errors import DataError

    with pytest.raises(DataError, match="no scheduler answers"):
        campaign.run(spec(), tmp_path / "nobody", scheduler="tcp://127.0.0.1:9")


def files(folder: Path) -> int:
    return len(list((folder / "shards").glob("shard-*.parquet")))


def start(path: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "scidiff", "campaign", "run", str(path), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for(process: subprocess.Popen, out: Path, count: int) -> None:
    begun = time.monotonic()
    while files(out) < count and process.poll() is None:
        assert time.monotonic() - begun < 240
        time.sleep(0.02)


def workers(process: subprocess.Popen) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_coordinator_and_workers_are_killed_in_turn_and_nothing_is_lost_or_doubled(tmp_path):
    text = 'domain = "cheap"\nmodel = "none"\ncount = 400\n[conditions]\npause = 0.05\n[shards]\nrows = 4\n'
    (tmp_path / "spec.toml").write_text(text)
    out, draw = tmp_path / "killed", random.Random(0)
    for trial in range(4):
        have = files(out)
        process = start(tmp_path / "spec.toml", out)
        wait_for(process, out, have + draw.randint(2, 9))
        if trial % 2:
            draw.choice(workers(process)).kill()
            wait_for(process, out, files(out) + draw.randint(2, 9))
        process.kill()
        process.wait()
    process = start(tmp_path / "spec.toml", out)
    assert process.wait(300) == 0
    campaign.run(tmp_path / "spec.toml", tmp_path / "calm", workers=0)
    index = [k for path in sorted((out / "shards").iterdir()) for k in pq.read_table(path)["index"].to_pylist()]
    assert sorted(index) == list(range(400))
    assert digest(out) == digest(tmp_path / "calm")


@pytest.mark.slow
def test_ctrl_c_leaves_a_folder_to_go_on_with(tmp_path):
    """The signal goes to the whole group of processes, as a terminal sends it."""
    text = 'domain = "cheap"\nmodel = "none"\ncount = 400\n[conditions]\npause = 0.1\n[shards]\nrows = 4\n'
    (tmp_path / "spec.toml").write_text(text)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "scidiff", "campaign", "run", str(tmp_path / "spec.toml"), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--workers", "2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test run in the background of a shell ignores the signal, and hands that down
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(process, out, 3)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert said == f"scidiff: interrupted; run the same command again to go on from {out}\n"
    have = files(out)
    assert 3 <= have < 100
    assert campaign.run(tmp_path / "spec.toml", out, workers=0).made == 100 - have
