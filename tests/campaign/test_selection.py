"""Fronts, families, picks and clusters against their definitions; what is selected and exported from a campaign."""

from __future__ import annotations

import csv
import itertools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from scidiff import campaign
from scidiff.campaign.diversity import cap, clusters, distances_of, maxmin
from scidiff.campaign.folder import Folder
from scidiff.campaign.pareto import DEPTH, fronts
from scidiff.campaign.query import rows as opened
from scidiff.campaign.selection import load_selection
from scidiff.errors import ConfigError, DataError, ShapeError, UnknownNameError


def dominates(a, b) -> bool:
    return bool((a <= b).all() and (a < b).any())


def fronts_by_definition(values):
    left, found = list(range(len(values))), []
    while left:
        front = [k for k in left if not any(dominates(values[j], values[k]) for j in left)]
        found.append(front)
        left = [k for k in left if k not in front]
    return found


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [3, 1000])
def test_fronts_are_those_of_the_definition(objectives, levels):
    """Few levels make many ties and equal points."""
    draw = np.random.default_rng(objectives)
    for count in (1, 2, 60):
        values = draw.integers(0, levels, (count, objectives)).astype(float)
        expected = fronts_by_definition(values)
        assert [front.tolist() for front in fronts(values)] == expected
        sizes = np.cumsum([len(front) for front in expected])
        for enough in (1, 5, count):
            needed = 1 + int(np.searchsorted(sizes, min(enough, count)))
            assert [front.tolist() for front in fronts(values, enough)] == expected[:needed]


def test_many_points_of_three_objectives_are_peeled_in_blocks():
    """More points than one block; the first front has no dominated point and dominates or equals all others."""
    values = np.random.default_rng(0).random((9000, 3))
    (first,) = fronts(values, 1)
    inside = values[first]
    for point in inside:
        assert not ((values <= point).all(1) & (values < point).any(1)).any()
    for point in np.delete(values, first, 0)[::50]:
        assert ((inside <= point).all(1) & (inside < point).any(1)).any()


def test_what_lies_behind_many_fronts_is_one():
    """On a line every point is a front of its own."""
    values = np.repeat(np.arange(50.0)[::-1, None], 3, 1)
    found = fronts(values)
    assert [front.tolist() for front in found[:DEPTH]] == [[49 - k] for k in range(DEPTH)]
    assert found[DEPTH].tolist() == list(range(50 - DEPTH)) and len(found) == DEPTH + 1


def test_what_is_no_number_is_refused():
    for bad in (np.zeros(3), np.zeros((3, 0)), np.array([[np.nan, 1.0]])):
        with pytest.raises(ShapeError):
            fronts(bad)


def tanimoto(a, b) -> float:
    a, b = np.unpackbits(a), np.unpackbits(b)
    either = (a | b).sum()
    return 1 - (a & b).sum() / either if either else 0.0


@pytest.mark.parametrize("kind", ["bits", "numbers"])
def test_distances_and_picks_are_those_of_the_definition(kind):
    draw = np.random.default_rng(1)
    if kind == "bits":
        features = draw.integers(0, 256, (40, 13)).astype(np.uint8) & draw.integers(0, 256, (40, 13)).astype(np.uint8)
        features[:2] = 0
        exact = np.array([[tanimoto(a, b) for b in features] for a in features])
    else:
        features = draw.normal(size=(40, 5)).astype(np.float32)
        exact = np.linalg.norm(features[:, None].astype(float) - features[None], axis=-1)
    distances = distances_of(features)
    found = np.array([distances.from_one(k) for k in range(40)])
    # float32: a sum of five squares, or one division
    assert np.abs(found - exact).max() < 1e-6 * max(1, exact.max())
    picked = [0]
    for _ in range(9):
        rest = [k for k in range(40) if k not in picked]
        picked.append(max(rest, key=lambda k: (found[k, picked].min(), -k)))
    assert maxmin(distances, 10).tolist() == picked
    assert sorted(maxmin(distances, 99).tolist()) == list(range(40))


def test_clusters_hold_what_lies_within_the_radius_and_the_largest_comes_first():
    points = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]], dtype=np.float32)
    label = clusters(distances_of(points), 0.15)
    assert label.tolist() == [0, 0, 0, 1, 1, 2]
    features = np.random.default_rng(2).normal(size=(60, 2)).astype(np.float32)
    label = clusters(distances_of(features), 0.7)
    assert set(label) == set(range(label.max() + 1))
    for cluster in range(label.max() + 1):
        members = features[label == cluster]
        spread = np.linalg.norm(members[:, None] - members[None], axis=-1)
        assert (spread <= 0.7 + 1e-6).all(1).any(), "no member is the centre"


def test_a_family_gives_its_first_members():
    groups = np.array([3, 1, 3, 3, 1, 2])
    assert cap(groups, 2).tolist() == [True, True, True, False, True, True]
    assert cap(groups[:0], 2).tolist() == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A campaign of 600 rows, two with each name."""
    import sys
    from pathlib import Path

    folder = tmp_path_factory.mktemp("campaign")
    cheap = str(Path(__file__).resolve().parents[2] / "benchmarks" / "cheap")
    sys.path.insert(0, cheap)
    scores = [{"name": "first"}, {"name": "second"}, {"name": "product"}]
    asked = {
        "domain": "cheap",
        "model": "none",
        "count": 300,
        "conditions": {"fail": [0.1, 0.2], "field": [True]},
        "scores": scores,
        "filters": [{"score": "second", "most": 0.9}],
        "objectives": {"maximise": ["first"], "minimise": ["second"]},
        "diversity": {"count": 5, "per_group": 1, "radius": 0.9},
        "shards": {"rows": 64},
    }
    campaign.run(campaign.parse(asked), folder, workers=0)
    sys.path.remove(cheap)
    return folder


def accepted(folder) -> list[dict]:
    rows = [row for path in sorted((folder / "shards").iterdir()) for row in pq.read_table(path).to_pylist()]
    rows = sorted((row for row in rows if row["accepted"]), key=lambda row: row["index"])
    first = {}
    for row in rows:
        first.setdefault(row["name"], row)
    return list(first.values())


def test_a_selection_follows_its_steps(made):
    found = campaign.select(made)
    rows = accepted(made)
    assert found.facts["accepted"] == len(rows)
    ranks = fronts_by_definition(np.array([[-row["first"], row["second"]] for row in rows]))
    by_index = {rows[k]["index"]: (rank, rows[k]) for rank, front in enumerate(ranks) for k in front}
    assert [by_index[index][0] for index in found.index] == found.rank.tolist()
    assert found.rank[0] == 0 and len(found) == 5
    families = [by_index[index][1]["family"] for index in found.index]
    assert len(set(families)) == 5
    again = load_selection(made)
    assert again.index.tolist() == found.index.tolist() and again.facts == found.facts


def test_without_a_count_the_first_front_is_selected(made):
    found = campaign.select(made, maximise=["product"], condition="first < 0.5", save=False, per_group=100)
    rows = [row for row in accepted(made) if row["first"] < 0.5]
    assert found.index[0] == max(rows, key=lambda row: row["product"])["index"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"count": 0}, ConfigError),
        ({"maximise": ["frist"]}, UnknownNameError),
        ({"maximise": ["name"]}, ConfigError),
        ({"condition": "first <"}, ConfigError),
        ({"condition": "name::INT > 3"}, ConfigError),
        ({"condition": "first > 2"}, DataError),
    ],
    ids=["count", "unknown", "text", "syntax", "row", "nothing-left"],
)
def test_a_selection_that_makes_no_sense_is_refused(made, wrong, error):
    with pytest.raises(error):
        campaign.select(made, **wrong)


def test_exports_hold_the_rows_and_their_origin(made, tmp_path):
    found = campaign.select(made, save=False)
    assert campaign.export(made, tmp_path / "a.csv", found) == 5
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == found.index.tolist()
    by_index = {row["index"]: row for row in accepted(made)}
    assert all(float(row["first"]) == by_index[int(row["index"])]["first"] for row in rows)
    facts = json.loads((tmp_path / "a.csv.json").read_text())
    assert facts["count"] == 5 and rows[0]["id"] == f"{facts['hash'][:12]}-{rows[0]['index']}"
    count = campaign.export(made, tmp_path / "b.parquet", condition="second > 0.5")
    table = pq.read_table(tmp_path / "b.parquet").to_pydict()
    assert len(table["index"]) == count and min(table["second"]) > 0.5 and table["index"] == sorted(table["index"])
    assert campaign.export(made, tmp_path / "c.list", found) == 5
    names = [by_index[index]["name"] for index in found.index]
    lines = [f"{name} {6 * index:g}" for name, index in zip(names, found.index, strict=True)]
    assert (tmp_path / "c.list").read_text().splitlines() == lines
    for bad in ("d.pdf", "no/such/folder/d.csv"):
        with pytest.raises(ConfigError):
            campaign.export(made, tmp_path / bad)
    assert len(list(itertools.chain(tmp_path.glob("d*"), tmp_path.glob("no")))) == 0


def test_a_query_that_fails_on_a_row_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="the query cannot be run: Conversion Error"):
        campaign.export(made, tmp_path / "a.csv", condition="name::INT > 3")
    with opened(Folder.at(made)) as query:
        for run in (query.table, lambda sql: list(query.batches(sql, 10))):
            with pytest.raises(ConfigError, match="columns are "):
                run("SELECT name::INT FROM rows")
        assert sum(len(batch) for batch in query.batches("SELECT name FROM rows", 10)) == 600
