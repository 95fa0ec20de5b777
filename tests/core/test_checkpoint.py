"""Weights and cards: what is written comes back, and what is wrong is named."""

from __future__ import annotations

import errno
import json
import math
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scidiff.errors import CheckpointError, ConfigError, DataError, IntegrityError, NumericalError
from scidiff.io.checkpoint import FORMAT_VERSION, card_path, load_into, load_model, save_model
from scidiff.io.files import sha256_file
from scidiff.io.provenance import package_version, provenance

WEIGHTS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.tensor([1e-30, -2.0], dtype=torch.float64),
    "count": torch.tensor(7),
    "half": torch.tensor([0.5], dtype=torch.bfloat16),
}


def test_weights_and_card_come_back(tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    written = save_model(path, WEIGHTS, {"data": "rows", "metrics": {"fcd": 0.25}})
    tensors, card = load_model(path)
    assert card == written == json.loads(card_path(path).read_text())
    assert card["data"] == "rows"
    assert card["format_version"] == FORMAT_VERSION
    assert card["parameters"] == 10
    assert card["sha256"] == sha256_file(path)
    assert card["provenance"]["torch"] == package_version("torch")
    assert tensors.keys() == WEIGHTS.keys()
    for name, value in WEIGHTS.items():
        assert tensors[name].dtype == value.dtype
        assert torch.equal(tensors[name], value)
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_views_transposes_and_tied_weights_are_written(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"whole": base, "tied": base, "turned": base.T, "row": base[1]}
    save_model(tmp_path / "m.safetensors", tensors, {})
    back = load_model(tmp_path / "m.safetensors")[0]
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


def test_tied_network_round_trip(tmp_path):
    def tied() -> nn.Module:
        network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
        network[1].weight = network[0].weight
        return network

    one, two = tied(), tied()
    save_model(tmp_path / "m.safetensors", one.state_dict(), {})
    load_into(two, load_model(tmp_path / "m.safetensors")[0])
    assert torch.equal(two[0].weight, one[0].weight)
    assert two[0].weight is two[1].weight


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, WEIGHTS, {})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"has sha256 [0-9a-f]{64}, its card says [0-9a-f]{64}; fetch .* retrain"):
        load_model(path)


def test_a_card_without_hash_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, WEIGHTS, {})
    card = json.loads(card_path(path).read_text())
    del card["sha256"]
    card_path(path).write_text(json.dumps(card))
    with pytest.raises(IntegrityError):
        load_model(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path, value):
    path = tmp_path / "m.safetensors"
    bad = {"fine": torch.ones(2), "bad": torch.tensor([1.0, value])}
    with pytest.raises(NumericalError, match="NaN or infinite values in bad;"):
        save_model(path, bad, {})
    assert list(tmp_path.iterdir()) == []
    save_file(bad, path)
    card_path(path).write_text(json.dumps({"format_version": FORMAT_VERSION, "sha256": sha256_file(path)}))
    with pytest.raises(CheckpointError, match="NaN or infinite values in bad;"):
        load_model(path)


def test_missing_files_are_named(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(CheckpointError, match=r"m\.json' does not exist"):
        load_model(path)
    save_model(path, WEIGHTS, {})
    path.unlink()
    with pytest.raises(CheckpointError, match=r"m\.safetensors' does not exist"):
        load_model(path)


def test_files_above_the_limit_are_not_read(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, WEIGHTS, {})
    size = path.stat().st_size
    assert load_model(path, largest_bytes=size)
    with pytest.raises(CheckpointError, match=f"has {size} bytes; expected at most {size - 1}"):
        load_model(path, largest_bytes=size - 1)


@pytest.mark.parametrize("text", ["{", "[1]", '"card"', "\xff\xfe"])
def test_a_card_that_is_no_object_is_refused(tmp_path, text):
    path = tmp_path / "m.safetensors"
    save_model(path, WEIGHTS, {})
    card_path(path).write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"m\.json'"):
        load_model(path)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, None, "1"])
def test_another_format_is_refused(tmp_path, version):
    path = tmp_path / "m.safetensors"
    save_model(path, WEIGHTS, {})
    card = json.loads(card_path(path).read_text())
    card["format_version"] = version
    card_path(path).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="format_version"):
        load_model(path)


def test_a_pickle_is_not_weights(tmp_path):
    path = tmp_path / "m.safetensors"
    torch.save({"w": torch.ones(2)}, path)
    card_path(path).write_text(json.dumps({"format_version": FORMAT_VERSION, "sha256": sha256_file(path)}))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_model(path)


@pytest.mark.parametrize(
    ("card", "message"),
    [({"sha256": "0"}, "reserved names"), ({"x": math.nan}, "not JSON"), ({"x": torch.ones(1)}, "not JSON")],
)
def test_a_bad_card_writes_nothing(tmp_path, card, message):
    with pytest.raises(ConfigError, match=message):
        save_model(tmp_path / "m.safetensors", WEIGHTS, card)
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected the suffix \.safetensors"):
        save_model(tmp_path / "m.pt", WEIGHTS, {})


def test_a_full_disk_keeps_the_earlier_model(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_model(path, WEIGHTS, {"run": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="no room"):
        save_model(path, {"a": torch.zeros(3)}, {"run": 2})
    monkeypatch.undo()
    tensors, card = load_model(path)
    assert card["run"] == 1
    assert tensors.keys() == WEIGHTS.keys()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.json", "m.safetensors"]


def test_weights_that_do_not_fit_are_listed_and_change_nothing():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    tensors = {
        "0.weight": torch.zeros(3, 5),
        "0.bias": torch.zeros(3),
        "1.weight": torch.zeros(1, 3),
        "x": torch.ones(1),
    }
    with pytest.raises(CheckpointError) as caught:
        load_into(module, tensors, {"provenance": {"scidiff": "9.8.7"}})
    message = str(caught.value)
    assert "written by scidiff 9.8.7" in message
    assert "missing: 1.bias" in message
    assert "unexpected: x" in message
    assert "shape of 0.weight: file (3, 5), module (3, 2)" in message
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_long_lists_of_misfits_are_cut():
    with pytest.raises(CheckpointError, match="and 5 more"):
        load_into(nn.Identity(), {f"w{k}": torch.ones(1) for k in range(25)})


def test_provenance_tells_versions_date_and_facts():
    facts = provenance(seed=3, torch="replaced")
    assert facts["seed"] == 3
    assert facts["torch"] == "replaced"
    assert facts["date"].endswith("+00:00")
    assert {"scidiff", "python", "platform"} <= facts.keys()
    assert json.loads(json.dumps(facts)) == facts
    assert package_version("no-such-distribution-anywhere") == "unknown"
