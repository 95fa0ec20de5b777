"""A learned table in a file: it comes back to the last bit, and refuses what it was not learned for."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from scidiff.denoise import Denoiser, GaussianMixture
from scidiff.errors import ConfigError, DataError, IntegrityError
from scidiff.io.checkpoint import save_model
from scidiff.process import EDMSchedule, GaussianProcess, Kind, VESchedule
from scidiff.sample import exponential_adams, log_snr_grid
from scidiff.sample.learned import FingerprintError, LearnedTable, model_hash
from scidiff.spaces import Euclidean

SCHEDULE = VESchedule(0.05, 20.0)
PROCESS = GaussianProcess(Euclidean((2,)), SCHEDULE)
MIXTURE = GaussianMixture(SCHEDULE, torch.full((2,), 0.5), torch.eye(2), torch.tensor([0.1, 0.2]))
TABLE = exponential_adams(SCHEDULE, log_snr_grid(SCHEDULE, 5), order=2)
USE = {"condition": "QM9 sizes", "guidance": 2.0}


def bound() -> LearnedTable:
    return LearnedTable.bind(
        TABLE, MIXTURE.denoiser, PROCESS, condition="QM9 sizes", guidance=(1.0, 3.0), held_out_error=0.01
    )


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return nn.Linear(3, 2)


def test_what_is_written_comes_back(tmp_path):
    bound().save(tmp_path / "table.json")
    again = LearnedTable.load(tmp_path / "table.json")
    assert again.fingerprint == bound().fingerprint and again.facts == {"held_out_error": 0.01}
    assert again.table.as_dict() == TABLE.as_dict()
    rule = again.rule(MIXTURE.denoiser, PROCESS, calls=5, **USE)
    assert rule.table.as_dict() == TABLE.as_dict()
    assert "scidiff" in json.loads((tmp_path / "table.json").read_text())["provenance"]


OTHER = {
    "model": {"model": replace(MIXTURE, weights=torch.tensor([0.4, 0.6]))},
    "process": {"process": GaussianProcess(Euclidean((2,)), EDMSchedule())},
    "condition": {"condition": "none"},
    "guidance": {"guidance": 3.5},
    "calls": {"calls": 6},
}


@pytest.mark.parametrize("member", OTHER)
def test_the_member_that_differs_is_named(member):
    use = {"model": MIXTURE, "process": PROCESS, **USE, **OTHER[member]}
    with pytest.raises(FingerprintError, match=member) as caught:
        bound().rule(**use)
    assert set(caught.value.differences) == {member}
    assert isinstance(caught.value, IntegrityError)
    assert bound().rule(**use, force=True).table.steps == 5


def test_the_hash_is_that_of_the_weights(tmp_path):
    one, two = network(), network(1)
    save_model(tmp_path / "one.safetensors", one.state_dict(), {})
    doors = [one, one.state_dict(), tmp_path / "one.safetensors", Denoiser(one, Kind.MEAN)]
    assert len({model_hash(door) for door in doors}) == 1
    assert model_hash(one) != model_hash(two)
    with torch.no_grad():
        one.bias[0] += 1e-7
    assert model_hash(one) != model_hash(tmp_path / "one.safetensors")


def test_the_hash_of_a_closed_form_is_that_of_its_parameters():
    same = GaussianMixture(SCHEDULE, torch.full((2,), 0.5), torch.eye(2), torch.tensor([0.1, 0.2]))
    assert model_hash(same) == model_hash(MIXTURE) == model_hash(MIXTURE.denoiser)
    assert model_hash(replace(MIXTURE, schedule=EDMSchedule())) != model_hash(MIXTURE)


def test_what_has_no_weights_is_refused():
    with pytest.raises(ConfigError, match="no weights"):
        model_hash(Denoiser(lambda x, t, c: x, Kind.MEAN))
    with pytest.raises(ConfigError, match="least strength"):
        LearnedTable.bind(TABLE, MIXTURE, PROCESS, guidance=(2.0, 1.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda w: "no json {",
        lambda w: {"table": w["table"]},
        lambda w: w | {"format_version": 9},
        lambda w: [1],
        lambda w: w | {"facts": "none"},
        lambda w: w | {"table": w["table"] | {"c": ["x"] * 5}},
    ],
    ids=["text", "members", "version", "list", "facts", "entry"],
)
def test_a_damaged_file_is_refused(tmp_path, change):
    path = tmp_path / "table.json"
    bound().save(path)
    changed = change(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(DataError):
        LearnedTable.load(path)
    with pytest.raises(DataError):
        LearnedTable.load(tmp_path / "missing.json")


@dataclass(frozen=True)
class Composed:
    """A model of parts."""

    part: object


def test_parts_of_a_model_are_told_apart_or_refused():
    assert model_hash(Composed(network())) == model_hash(Composed(network())) != model_hash(Composed(network(1)))
    assert model_hash(Composed(math.sin)) != model_hash(Composed(math.cos))

    def inner(x):
        return x

    for part in (inner, lambda x: x):
        with pytest.raises(ConfigError, match="nothing can be read"):
            model_hash(Composed(part))
