"""Steering in a campaign: the table is checked, groups lie in shards, resuming changes no byte, the tilt acts."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from scidiff import campaign
from scidiff.campaign.specification import SpecificationError
from scidiff.campaign.state import digest

SPEC = {
    "domain": "molecules",
    "model": "universe",
    "count": 64,
    "sampler": {"steps": 2},
    "scores": [{"name": "logp"}, {"name": "qed"}],
    "steer": {"objective": "logp", "strength": 2.0, "particles": 16},
    "shards": {"rows": 32},
}
TEXT = """\
domain = "molecules"
model = "universe"
count = 64
[[scores]]
name = "logp"
[steer]
objective = "logp"
strength = 2.0
particles = 16
[shards]
rows = 32
"""
BAD = {
    "unknown score": ('objective = "logp"', 'objective = "lopg"', r"line 7: steer\.objective: .*Did you mean 'logp'"),
    "no strength": ("strength = 2.0\n", "", r"line 6: steer\.strength: it is missing"),
    "strength": ("strength = 2.0", 'strength = "much"', r"line 8: steer\.strength"),
    "infinite": ("strength = 2.0", "strength = inf", r"line 8: steer\.strength"),
    "one particle": ("particles = 16", "particles = 1", r"line 9: steer\.particles"),
    "unknown key": ("particles = 16", "particels = 16", r"line 9: steer\.particels: .*'particles'"),
    "count": ("count = 64", "count = 70", r"line 3: count: 70 rows are no whole groups of 16 .* a multiple: 80"),
    "rows": ("rows = 32", "rows = 40", r"line 11: shards\.rows: 40 rows .* a multiple: 48"),
    "domain": (
        '"molecules"\nmodel = "universe"',
        '"cheap"\nmodel = "none"',
        r"steer: the domain 'cheap' does not steer",
    ),
}


def logps(folder) -> np.ndarray:
    tables = [pq.read_table(path).to_pydict() for path in sorted((folder / "shards").iterdir())]
    return np.array([value for table in tables for value in table["logp"]])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steered")
    campaign.run(campaign.parse(SPEC), folder, workers=0)
    return folder


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_sense_is_refused_with_field_and_line(case, tmp_path):
    old, new, says = BAD[case]
    text = TEXT.replace(old, new)
    if case == "domain":
        text = text.replace('"logp"', '"first"')
    (tmp_path / "steer.toml").write_text(text)
    assert old in TEXT
    with pytest.raises(SpecificationError, match=says):
        campaign.open_plan(tmp_path / "steer.toml")


def test_the_table_belongs_to_the_content(tmp_path):
    (tmp_path / "steer.toml").write_text(TEXT)
    plan = campaign.open_plan(tmp_path / "steer.toml")
    free = campaign.open_plan(campaign.parse({name: value for name, value in SPEC.items() if name != "steer"}))
    other = campaign.open_plan(campaign.parse({**SPEC, "steer": {**SPEC["steer"], "strength": 1.0}}))
    assert len({plan.hash, free.hash, other.hash}) == 3
    assert all(len(plan.shard(k).rows) % 16 == 0 for k in range(plan.shards))


def test_a_shard_that_is_made_again_is_the_same_to_the_last_byte(made, tmp_path):
    campaign.run(campaign.parse({**SPEC, "budget": {"rows": 32}}), tmp_path, workers=0)
    assert len(list((tmp_path / "shards").iterdir())) == 1
    campaign.run(campaign.parse(SPEC), tmp_path, workers=0)
    assert digest(tmp_path) == digest(made)


def test_the_objective_rises(made, tmp_path):
    """Far more than four standard errors: the tilt moves the mean by about the variance times the strength."""
    campaign.run(campaign.parse({**SPEC, "steer": None}), tmp_path, workers=0)
    free, tilted = logps(tmp_path), logps(made)
    groups = tilted.reshape(-1, 16).mean(1)
    error = np.hypot(free.std() / len(free) ** 0.5, groups.std(ddof=1) / len(groups) ** 0.5)
    assert tilted.mean() - free.mean() > 4 * error
    table = pq.read_table(sorted((made / "shards").iterdir())[0]).to_pydict()
    assert [len(set(table["log_z"][k : k + 16])) for k in (0, 16)] == [1, 1]


def test_an_objective_that_always_fails_is_an_error_not_a_run_without_steering(tmp_path):
    (tmp_path / "broken_objective.py").write_text("def fails(row):\n    return row['no such column']\n")
    text = TEXT.replace('name = "logp"\n', 'name = "logp"\ncallable = "broken_objective:fails"\n')
    (tmp_path / "steer.toml").write_text(text)
    outcome = campaign.run(tmp_path / "steer.toml", tmp_path / "out", workers=0)
    assert not outcome.rows
    assert all("'logp' has no value for any" in why and "no such column" in why for why in outcome.quarantined.values())
