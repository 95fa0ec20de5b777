from __future__ import annotations

import numpy as np
from scidiff.domains.proteins.torsion.model import LONGEST, bundled
from scidiff.domains.proteins.validation import validate

from scidiff.domains import proteins


def test_the_bundled_model_has_its_card_and_plans():
    model = proteins.load("chains")
    assert "chains" in bundled()
    assert model.card["task"]["data"]["train_count"] > 900
    assert len(model.plans.plans) == model.card["task"]["data"]["train_count"]
    assert all(len(plan) <= LONGEST for plan in model.plans.plans)


def test_chains_of_the_bundled_model_are_valid_and_have_the_strands_they_were_asked_for():
    plan = "--EEEEEE--EEEEEE----EEEEEE-- 2a15*6 10a25*6"
    samples = proteins.load("chains").sample(2, secondary=plan, steps=5, seed=0)
    report = validate(samples.chains)
    assert bool(report.valid.all())
    # half of the bonds of the better phase; an untrained network reaches less than a tenth
    assert float(np.mean(samples.records["formed"] / samples.records["asked"])) > 0.5
