"""Specifications: a good one is read; fifty bad ones are refused with one line that names field and line."""

from __future__ import annotations

import pytest

from scidiff import cli
from scidiff.campaign.specification import SpecificationError, parse, read
from scidiff.campaign.toml_lines import line_of

GOOD = """\
name = "trial"
domain = "cheap"
model = "none"
count = 20
[sampler]
steps = 3
seed = 1
[conditions]
fail = [0.1, 0.2]
[[scores]]
name = "first"
[[scores]]
name = "power"
of = "product"
parameters = { power = 2.0 }
[[filters]]
score = "first"
least = 0.2
[objectives]
maximise = ["first"]
minimise = ["power"]
[diversity]
count = 3
[budget]
rows = 100
[stop]
accepted = 10
[shards]
rows = 8
"""
# what is exchanged for what, the field that the error names, and its line
BAD = {
    "no text": (GOOD, "", "domain", None),
    "no domain": ('domain = "cheap"\n', "", "domain", None),
    "no model": ('model = "none"\n', "", "model", None),
    "no count": ("count = 20\n", "", "count", None),
    "unknown key": ("count = 20", "count = 20\ncuont = 3", "cuont", 5),
    "unknown table": ("[budget]", "[bugdet]", "bugdet", 24),
    "key of a table": ("seed = 1", "sede = 1", "sampler.sede", 7),
    "key of a score": ('of = "product"', 'off = "product"', "scores[1].off", 14),
    "key of a filter": ("least = 0.2", "lest = 0.2", "filters[0].lest", 18),
    "key of objectives": ("maximise =", "maximize =", "objectives.maximize", 20),
    "key of diversity": ("count = 3", "cuont = 3", "diversity.cuont", 23),
    "key of stop": ("accepted = 10", "acepted = 10", "stop.acepted", 27),
    "count of zero": ("count = 20", "count = 0", "count", 4),
    "negative count": ("count = 20", "count = -5", "count", 4),
    "count as text": ("count = 20", 'count = "20"', "count", 4),
    "count as float": ("count = 20", "count = 20.0", "count", 4),
    "count as truth": ("count = 20", "count = true", "count", 4),
    "name as number": ('name = "trial"', "name = 3", "name", 1),
    "empty model": ('model = "none"', 'model = ""', "model", 3),
    "unknown domain": ('domain = "cheap"', 'domain = "cheep"', "domain", 2),
    "domain as list": ('domain = "cheap"', 'domain = ["cheap"]', "domain", 2),
    "unknown model": ('model = "none"', 'model = "nine"', "model", 3),
    "no steps": ("steps = 3", "steps = 0", "sampler.steps", 6),
    "steps as text": ("steps = 3", 'steps = "many"', "sampler.steps", 6),
    "negative seed": ("seed = 1", "seed = -1", "sampler.seed", 7),
    "sampler as number": ("[sampler]\nsteps = 3\nseed = 1", "sampler = 3", "sampler", 5),
    "unknown parameter": ("fail = [0.1, 0.2]", "fial = [0.1]", "conditions.fial", 9),
    "bad value": ("fail = [0.1, 0.2]", "fail = [0.1, -2]", "conditions.fail[1]", 9),
    "bad value in many lines": ("fail = [0.1, 0.2]", "fail = [\n  0.1,\n  'x',\n]", "conditions.fail[1]", 11),
    "no values": ("fail = [0.1, 0.2]", "fail = []", "conditions.fail", 9),
    "bad name of a parameter": ("fail = [0.1, 0.2]", '"Fail it" = [0.1]', "conditions.Fail it", 9),
    "unknown score": ('name = "first"', 'name = "frist"', "scores[0].name", 11),
    "unknown source": ('of = "product"', 'of = "prodct"', "scores[1].of", 14),
    "bad name of a score": ('name = "power"', 'name = "Power!"', "scores[1].name", 13),
    "name of the picks": ('name = "power"', 'name = "pick"', "scores[1].name", 13),
    "reserved name": ('name = "power"', 'name = "index"', "scores[1].name", 13),
    "name twice": ('name = "power"', 'name = "first"', "scores[1].name", 13),
    "score without name": ('name = "power"\n', "", "scores[1].name", 12),
    "unknown argument": ("power = 2.0", "pwoer = 2.0", "scores[1].parameters", 15),
    "argument of no use": ("power = 2.0", "power = -1.0", "scores[1].parameters", 15),
    "two sources": ('of = "product"', 'of = "product"\ncallable = "a:b"', "scores[1]", 12),
    "no function": ('of = "product"\nparameters = { power = 2.0 }', 'callable = "no.such:f"', "scores[1].callable", 14),
    "no import string": ('of = "product"\nparameters = { power = 2.0 }', 'callable = "f"', "scores[1].callable", 14),
    "no program": ('of = "product"\nparameters = { power = 2.0 }', 'command = ["/no/such"]', "scores[1].command", 14),
    "filter of no score": ('score = "first"', 'score = "third"', "filters[0].score", 17),
    "filter without range": ("least = 0.2\n", "", "filters[0]", 16),
    "empty range": ("least = 0.2", "least = 0.2\nmost = 0.1", "filters[0]", 16),
    "range of text": ("least = 0.2", 'least = "much"', "filters[0].least", 18),
    "range of nan": ("least = 0.2", "least = nan", "filters[0].least", 18),
    "objective of no score": ('minimise = ["power"]', 'minimise = ["pwoer"]', "objectives.minimise[0]", 21),
    "both ways": ('minimise = ["power"]', 'minimise = ["first"]', "objectives", 19),
    "negative budget": ("rows = 100", "rows = -100", "budget.rows", 25),
    "rows of no shard": ("rows = 8", "rows = 0", "shards.rows", 29),
    "share above one": ("accepted = 10", "least_valid = 1.5", "stop.least_valid", 27),
    "broken text": ("count = 20", "count = = 20", "no TOML", 4),
    "key twice": ("count = 20", "count = 20\ncount = 3", "no TOML", None),
}


@pytest.mark.parametrize("case", BAD, ids=[name.replace(" ", "-") for name in BAD])
def test_a_bad_specification_is_refused_in_one_line_and_nothing_is_written(case, tmp_path, capsys):
    old, new, field, line = BAD[case]
    assert GOOD.count(old) == 1
    path, out = tmp_path / "spec.toml", tmp_path / "out"
    path.write_text(GOOD.replace(old, new))
    assert cli.main(["campaign", "run", str(path), "--out", str(out), "--workers", "0"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert field in error
    if line is not None:
        assert f"line {line}" in error
    assert not out.exists()


def test_there_are_fifty_bad_ones():
    assert len(BAD) >= 50


def test_a_good_one_is_read(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(GOOD)
    found = read(path)
    assert found.conditions == {"fail": [0.1, 0.2]}
    assert found.scores[1].parameters == {"power": 2.0}
    assert parse(found.model_dump()) == found


def test_the_nearest_name_is_suggested():
    with pytest.raises(SpecificationError, match="Did you mean 'sampler'"):
        parse({"domain": "cheap", "model": "none", "count": 1, "smpler": {}})


def test_lines_of_every_way_to_write_a_key():
    text = (
        'a = 1\n"b c".d = """\nx = 3\n[y]\n"""\n[t]\nk = [ # one, two\n  1, [2,\n  3],\n  4]\n'
        "[[s]]\nn = 1\n[s.sub]\nm = 1\n[[s]]\nn = {p = 1,\n q = 2}\n"
    )
    expected = {
        ("a",): 1,
        ("b c", "d"): 2,
        ("t",): 6,
        ("t", "k"): 7,
        ("t", "k", 0): 8,
        ("t", "k", 1): 8,
        ("t", "k", 2): 10,
        ("s", 0, "n"): 12,
        ("s", 0, "sub", "m"): 14,
        ("s", 1): 15,
        ("s", 1, "n", "p"): 16,
    }
    assert {path: line_of(text, path) for path in expected} == expected
    assert line_of(text, ("nowhere",)) is None
