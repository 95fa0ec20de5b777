"""Runs in one process: shards, resuming, failures, stop rules. The content never depends on how it came about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from scidiff import campaign
from scidiff.campaign.folder import Folder
from scidiff.campaign.plan import make_plan
from scidiff.campaign.specification import SpecificationError
from scidiff.campaign.state import digest, manifest, read_card
from scidiff.errors import ConfigError, DataError


def spec(**changes):
    base = {"domain": "cheap", "model": "none", "count": 50, "scores": [{"name": "first"}], "shards": {"rows": 8}}
    return campaign.parse({**base, **changes})


def rows(out: Path) -> dict[str, list]:
    tables = [pq.read_table(path).to_pydict() for path in sorted((out / "shards").glob("*.parquet"))]
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}


def test_shards_part_the_rows_whatever_the_numbers():
    for count, each, conditions, budget in (
        (50, 8, 3, 70),
        (1, 1, 1, 1),
        (7, 100, 4, 20),
        (16, 4, 2, 100),
        (9, 4, 2, 9),
    ):
        values = [k / 10 for k in range(conditions)]
        asked = spec(count=count, shards={"rows": each}, conditions={"fail": values}, budget={"rows": budget})
        plan = make_plan(asked)
        found = [plan.shard(k) for k in range(plan.shards)]
        assert sorted(row for shard in found for row in shard.rows) == list(range(count * conditions))
        assert all(row // count == shard.condition for shard in found for row in shard.rows)
        sizes = np.cumsum([len(shard.rows) for shard in found])
        assert plan.affordable == int((sizes <= budget).sum())


def test_the_hash_knows_what_the_content_depends_on():
    base = make_plan(spec())
    same = make_plan(spec(name="other", budget={"rows": 9}, stop={"accepted": 3}, diversity={"count": 2}))
    assert same.hash == base.hash
    others = [spec(count=51), spec(shards={"rows": 9}), spec(sampler={"seed": 1}), spec(scores=[])]
    assert len({make_plan(each).hash for each in (spec(), *others)}) == 5


def test_a_campaign_has_every_row_once_and_knows_what_failed(tmp_path):
    outcome = campaign.run(spec(conditions={"fail": [0.3, 0.0]}), tmp_path, workers=0)
    found = rows(tmp_path)
    assert sorted(found["index"]) == list(range(100))
    bad = [k for k, status in enumerate(found["status"]) if status != "ok"]
    assert bad
    assert all(found["reason"][k] == "x is too small" and found["first"][k] is None for k in bad)
    assert not any(found["accepted"][k] for k in bad)
    assert outcome.finished and outcome.rows == 100 and outcome.valid == 100 - len(bad)
    state = campaign.status(tmp_path)
    assert (state.rows, state.valid, state.shards, state.rows_planned) == (100, outcome.valid, 14, 100)
    assert [entry["rows"] for entry in manifest(tmp_path)] == [8] * 12 + [2, 2]


def test_what_is_missing_is_made_again_to_the_last_byte(tmp_path):
    campaign.run(spec(), tmp_path, workers=0)
    before = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    for name in list(before)[1::2]:
        (tmp_path / "shards" / name).unlink()
    damaged = tmp_path / "shards" / sorted(before)[0]
    damaged.write_bytes(damaged.read_bytes()[:-30])
    (tmp_path / "shards" / ".shard-00000001.parquet.7.abcd.tmp").write_bytes(b"left by a killed writer")
    outcome = campaign.run(spec(), tmp_path, workers=0)
    assert outcome.mended == ((0,) if damaged.name in list(before)[::2] else ())
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == before


def test_a_store_of_objects_holds_the_same_content(tmp_path):
    campaign.run(spec(), tmp_path, workers=0)
    where = f"memory://{tmp_path.name}/run"
    campaign.run(spec(), where, workers=0)
    assert digest(where) == digest(tmp_path)
    assert campaign.select(where, count=3).index.tolist() == campaign.select(tmp_path, count=3).index.tolist()
    with pytest.raises(ConfigError, match="workers=0"):
        campaign.run(spec(), where, workers=1)
    Folder.at(where).system.rm(Folder.at(where).path(), recursive=True)


def test_a_shard_with_an_error_is_tried_twice_and_the_rest_goes_on(tmp_path):
    asked = spec(conditions={"error": [20]})
    outcome = campaign.run(asked, tmp_path, workers=0)
    assert list(outcome.quarantined) == [2]
    assert "index 20 is not wanted" in outcome.quarantined[2]
    assert outcome.rows == 42 and outcome.made == 6
    assert campaign.status(tmp_path).quarantined == outcome.quarantined
    assert campaign.run(asked, tmp_path, workers=0).made == 0
    assert list(campaign.run(asked, tmp_path, workers=0, retry=True).quarantined) == [2]


def test_too_many_quarantined_shards_end_a_campaign(tmp_path):
    outcome = campaign.run(spec(conditions={"error": [2, 60, 110]}, stop={"quarantined": 2}), tmp_path, workers=0)
    assert outcome.why == "2 shards are quarantined"
    assert not any(path.stat().st_size == 0 for path in (tmp_path / "shards").iterdir())


def test_a_stop_rule_leaves_the_same_rows_for_any_history(tmp_path):
    asked = spec(stop={"accepted": 20}, filters=[{"score": "first", "least": 0.5}])
    outcome = campaign.run(asked, tmp_path / "a", workers=0)
    assert outcome.finished and outcome.accepted >= 20 and outcome.rows < 50
    whole = spec(filters=[{"score": "first", "least": 0.5}])
    campaign.run(whole, tmp_path / "b", workers=0)
    campaign.run(asked, tmp_path / "b", workers=0)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert campaign.run(asked, tmp_path / "a", workers=0).made == 0


def test_few_valid_rows_end_a_campaign(tmp_path):
    asked = spec(count=5000, shards={"rows": 500}, conditions={"fail": [0.9]}, stop={"least_valid": 0.5})
    outcome = campaign.run(asked, tmp_path, workers=0)
    assert outcome.rows == 1000 and "valid" in outcome.why


def test_budgets_end_a_run_and_a_larger_one_goes_on(tmp_path):
    outcome = campaign.run(spec(budget={"rows": 20}), tmp_path, workers=0)
    assert (outcome.rows, outcome.finished) == (16, False)
    assert "budget.rows" in outcome.why
    slow = spec(budget={"seconds": 0.3}, conditions={"pause": [0.05]})
    outcome = campaign.run(slow, tmp_path / "slow", workers=0)
    assert not outcome.finished and outcome.rows < 50 and "budget.seconds" in outcome.why
    assert campaign.run(spec(), tmp_path, workers=0).rows == 50


def test_another_campaign_or_another_version_is_refused(tmp_path):
    campaign.run(spec(), tmp_path, workers=0)
    with pytest.raises(ConfigError, match="another campaign"):
        campaign.run(spec(count=51), tmp_path, workers=0)
    card = tmp_path / "campaign.json"
    text = card.read_text()
    card.write_text(text.replace('"torch": "', '"torch": "0.'))
    with pytest.raises(ConfigError, match="begun with"):
        campaign.run(spec(), tmp_path, workers=0)
    assert campaign.run(spec(), tmp_path, workers=0, other_versions=True).finished
    card.unlink()
    with pytest.raises(ConfigError, match=r"no campaign\.json"):
        campaign.run(spec(), tmp_path, workers=0)
    with pytest.raises(DataError, match="expected the folder of a campaign"):
        campaign.status(tmp_path / "nowhere")


def test_a_damaged_card_is_said_to_be_one(tmp_path):
    campaign.run(spec(count=8), tmp_path, workers=0)
    card = tmp_path / "campaign.json"
    whole = json.loads(card.read_text())
    for part, wrong in (
        ("hash", None),
        ("seed", "many"),
        ("specification", 3),
        ("specification", None),
        ("versions", 7),
    ):
        damaged = {**whole, part: wrong}
        if wrong is None:
            del damaged[part]
        card.write_text(json.dumps(damaged))
        with pytest.raises(DataError, match="is damaged"):
            read_card(tmp_path)
    card.write_text(json.dumps({**whole, "specification": {"domain": "cheap"}}))
    with pytest.raises(SpecificationError):
        read_card(tmp_path)


def test_notes_beyond_a_stop_rule_go_with_the_shards(tmp_path):
    """The rule holds within the first shards; the last ones were made, or given up, by a run without it."""
    fussy = {"conditions": {"error": [45]}, "filters": [{"score": "first", "least": 0.5}]}
    assert list(campaign.run(spec(**fussy), tmp_path / "a", workers=0).quarantined) == [5]
    asked = spec(**fussy, stop={"accepted": 5})
    outcome = campaign.run(asked, tmp_path / "a", workers=0)
    assert outcome.rows < 40 and not outcome.quarantined
    assert campaign.status(tmp_path / "a").quarantined == {}
    campaign.run(asked, tmp_path / "b", workers=0)
    files = [sorted(str(path.relative_to(tmp_path / k)) for path in (tmp_path / k).rglob("shard-*")) for k in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "places",
    [{"workers": 2, "scheduler": "tcp://a:1"}, {"workers": 0, "slurm": 1}, {"scheduler": "a", "slurm": 1}],
    ids=["workers and scheduler", "workers and slurm", "scheduler and slurm"],
)
def test_one_place_to_work_in_is_given(tmp_path, places):
    with pytest.raises(ConfigError, match="came together; give one of them"):
        campaign.run(spec(), tmp_path / "out", **places)
    assert not (tmp_path / "out").exists()


def test_a_folder_takes_one_run_at_a_time(tmp_path):
    with Folder.at(tmp_path).alone(), pytest.raises(ConfigError, match="another run"):
        campaign.run(spec(), tmp_path, workers=0)


SCRIPT = """
import sys
from scidiff import campaign
campaign.run(sys.argv[1], sys.argv[2], workers=0)
"""


def test_a_run_that_is_ended_goes_on_with_nothing_lost_or_doubled(tmp_path):
    """One run is ended twice, each time at another moment; another one is left alone."""
    text = 'domain = "cheap"\nmodel = "none"\ncount = 200\n[conditions]\npause = 0.02\n[shards]\nrows = 4\n'
    (tmp_path / "spec.toml").write_text(text)
    arguments = [str(tmp_path / "spec.toml"), str(tmp_path / "ended")]
    for trial, how in enumerate((signal.SIGKILL, signal.SIGINT)):
        listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a run in the background ignores it
        command = [sys.executable, "-c", SCRIPT, *arguments]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=listening)
        started = time.monotonic()
        have = len(list((tmp_path / "ended" / "shards").glob("*.parquet"))) if trial else 0
        while len(list((tmp_path / "ended" / "shards").glob("*.parquet"))) < min(have + 3 + 5 * trial, 48):
            assert time.monotonic() - started < 60 and process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, how)
        assert process.wait(30) != 0
    campaign.run(tmp_path / "spec.toml", tmp_path / "ended", workers=0)
    campaign.run(tmp_path / "spec.toml", tmp_path / "calm", workers=0)
    assert sorted(rows(tmp_path / "ended")["index"]) == list(range(200))
    assert digest(tmp_path / "ended") == digest(tmp_path / "calm")
    assert (tmp_path / "ended" / "campaign.json").read_bytes() == (tmp_path / "calm" / "campaign.json").read_bytes()
