"""Steering of molecules: the law is the tilted one, every molecule is valid, and groups do not know of each other."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit.Chem import Crippen
from scidiff.domains.molecules import Steering
from scidiff.domains.molecules.scaffold import contains, parse_query

from scidiff.domains import molecules
from scidiff.errors import ConfigError
from scidiff.sample import Temperature

STRENGTH, GROUP = 1.0, 16


def logp(found):
    return [Crippen.MolLogP(one) for one in found]


def normalised(log_w: np.ndarray) -> np.ndarray:
    w = np.exp(log_w - log_w.max(-1, keepdims=True))
    return w / w.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def model():
    return molecules.load("universe")


@pytest.fixture(scope="module")
def unsteered(model) -> np.ndarray:
    return np.array(logp(model.sample(1024, steps=2, seed=1).items))


@pytest.fixture(scope="module")
def steered(model):
    return model.sample(640, steps=2, seed=2, steer=Steering(logp, STRENGTH, GROUP))


def test_the_mean_is_that_of_the_tilted_law(unsteered, steered):
    """Expected: unsteered samples weighed by exp r. Bound: four standard errors, and the bias of groups of 16.

    The bias is measured on the unsteered samples, weighed within groups of the same size.
    """
    w = normalised(STRENGTH * unsteered)
    expected = (w * unsteered).sum()
    error = np.sqrt((w**2 * (unsteered - expected) ** 2).sum())
    groups = unsteered.reshape(-1, GROUP)
    bias = abs((normalised(STRENGTH * groups) * groups).sum(1).mean() - expected)
    means = np.array(logp(steered.items)).reshape(-1, GROUP).mean(1)
    spread = np.hypot(error, means.std(ddof=1) / len(means) ** 0.5)
    assert abs(means.mean() - expected) < 4 * spread + bias
    assert means.mean() - unsteered.mean() > 4 * np.hypot(spread, unsteered.std() / len(unsteered) ** 0.5)


def test_the_normaliser_is_without_bias(unsteered, steered):
    """``E exp(log_z)`` is ``E exp r`` for any number of particles; four standard errors of both."""
    z, direct = np.exp(steered.records["log_z"].reshape(-1, GROUP)[:, 0]), np.exp(STRENGTH * unsteered)
    spread = np.hypot(z.std(ddof=1) / len(z) ** 0.5, direct.std() / len(direct) ** 0.5)
    assert abs(z.mean() - direct.mean()) < 4 * spread


def test_every_molecule_is_valid_and_has_the_size_of_its_record(steered):
    assert molecules.validate(steered).valid == 1.0
    assert steered.records["size"].tolist() == [one.GetNumHeavyAtoms() for one in steered.items]
    assert set(steered.calls.tolist()) == {2}
    assert steered.provenance["steering"] == {"strength": STRENGTH, "particles": GROUP}


def test_a_group_is_a_function_of_its_indices(model):
    """Drawn together or apart, in batches of any size; round-off may decide a draw where two batches differ."""
    options = {"steps": 3, "seed": 4, "steer": Steering(logp, 2.0, 8)}
    whole = model.sample(48, **options).smiles
    parts = model.sample(16, **options).smiles + model.sample(32, first=16, batch_size=8, **options).smiles
    assert model.sample(48, **options).smiles == whole
    equal = [whole[k : k + 8] == parts[k : k + 8] for k in range(0, 48, 8)]
    assert sum(equal) >= 5


def test_a_scaffold_stays_and_groups_mix_sizes():
    found = molecules.load("qm9").sample(32, steps=2, seed=0, scaffold="c1cc[nH]c1", steer=Steering(logp, 3.0, 8))
    pattern = parse_query("c1cc[nH]c1")
    assert molecules.validate(found).valid == 1.0
    assert all(contains(one, pattern) for one in found.items)
    assert found.records["size"].tolist() == [one.GetNumHeavyAtoms() for one in found.items]


def test_a_molecule_without_a_value_has_no_weight(model):
    def only_without_nitrogen(found):
        return [None if "N" in {a.GetSymbol() for a in one.GetAtoms()} else 0.0 for one in found]

    free = model.sample(64, steps=2, seed=5)
    assert any(value is None for value in only_without_nitrogen(free.items))
    found = model.sample(64, steps=2, seed=5, steer=Steering(only_without_nitrogen, 1.0, 32))
    assert only_without_nitrogen(found.items) == [0.0] * 64


def test_transforms_come_before_the_projection(model):
    cold = model.sample(32, steps=2, seed=6, temperature=0.7).smiles
    assert model.sample(32, steps=2, seed=6, transforms=[Temperature({"atoms": 0.7})]).smiles == cold


@pytest.mark.parametrize(
    "options",
    [{"count": 20}, {"count": 16, "first": 4}],
    ids=["count", "first"],
)
def test_parts_of_a_group_are_refused(model, options):
    with pytest.raises(ConfigError, match="multiples of the 8 particles"):
        model.sample(steer=Steering(logp, 1.0, 8), **options)


@pytest.mark.parametrize(
    "settings",
    [{"particles": 1}, {"strength": float("nan")}, {"drafts_until": 1.5}],
    ids=["particles", "strength", "drafts"],
)
def test_settings_of_no_use_are_refused(settings):
    with pytest.raises(ConfigError, match="expected"):
        Steering(logp, **{"strength": 1.0, **settings})
