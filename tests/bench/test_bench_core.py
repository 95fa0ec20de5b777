"""Every claim of the core holds, a false one is found, and the suite says what was measured and what is true."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from scidiff import cli
from scidiff.bench import run
from scidiff.bench.core import GROUPS, Claim, suite
from scidiff.bench.core.picture import tv_against_calls
from scidiff.domain import resolve

CLAIMS = [claim for target in GROUPS for claim in resolve(target)()]
FAST = [claim for claim in CLAIMS if not claim.full]
SLOW = [claim for claim in CLAIMS if claim.full]
# numbers of numpy are what a tolerance is often computed with; a report is plain JSON all the same
TOY = Claim(
    "a/half", "exact", lambda seed: 0.5 + seed, truth=np.float64(0.5), tolerance=np.float64(0.25), why="known", calls=3
)


def toys():
    """Yield three claims in the place of the real ones."""
    yield TOY
    yield Claim("a/bias", "biased", lambda _seed: 0.3, least=0.2)
    yield Claim("a/long", "consistent(1)", lambda _seed: 1.0, truth=1, tolerance=0.1, full=True)


def holds(claim: Claim) -> bool:
    row = claim.row(0)
    return row.passed is not False


@pytest.mark.parametrize("claim", FAST, ids=lambda claim: claim.name)
def test_a_claim_holds(claim):
    assert holds(claim), claim


@pytest.mark.slow
@pytest.mark.parametrize("claim", SLOW, ids=lambda claim: claim.name)
def test_a_long_claim_holds(claim):
    assert holds(claim), claim


def test_a_false_claim_is_found():
    assert TOY.row(0).passed is True
    assert TOY.row(1).passed is False
    assert replace(TOY, truth=None, tolerance=None, least=0.6).row(0).passed is False
    assert replace(TOY, truth=None, tolerance=None).row(0).passed is None


def test_every_claim_has_a_name_of_its_own_and_says_why():
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert all(claim.why for claim in CLAIMS)
    for claim in CLAIMS:
        assert claim.label in ("biased", "measured") or claim.truth is not None, claim.name


def test_the_suite_reports_truth_and_measurement(monkeypatch, capsys):
    monkeypatch.setattr(suite, "GROUPS", (f"{__name__}:toys",))
    assert cli.main(["bench", "core", "--fast", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    half, bias = report["rows"]
    assert (half["truth"], half["measured"], half["value"], half["bar"]) == (0.5, 0.5, 0.0, 0.25)
    assert (bias["truth"], bias["measured"], bias["bar"], bias["above"]) == (None, 0.3, 0.2, True)
    assert report["protocol"] == f"core/{suite.PROTOCOL}"
    assert len(run("core").rows) == 3
    assert cli.main(["bench", "core", "--seed", "1"]) == 1
    table = capsys.readouterr().out
    assert "measured" in table and "truth" in table and "no" in table


def test_the_picture_shows_every_label():
    figure = tv_against_calls(3, (1, 4))
    labels = [line.get_label() for line in figure.axes[0].get_lines()]
    assert {label.rsplit(", ", 1)[1] for label in labels} == {"exact", "biased", "consistent(1)", "consistent(0.5)"}
    heights = {line.get_label(): line.get_ydata()[-1] for line in figure.axes[0].get_lines()}
    assert heights["minimum entropy, exact"] < 1e-13 < heights["ancestral, consistent(1)"]
