"""The checkpoint folder of a run survives an interruption at any moment."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from scidiff.errors import CheckpointError, ConfigError, DataError, IntegrityError
from scidiff.train.state import check_same_run, claimed, read_state, remove_state, write_state

PARTS = ("network", "ema", "optimizer")


def parts(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {part: {"w": torch.full((3,), value + k)} for k, part in enumerate(PARTS)}


def is_whole(folder: Path, value: float) -> bool:
    state = read_state(folder)
    return (
        state is not None
        and state[0]["value"] == value
        and all(torch.equal(state[1][part]["w"], parts(value)[part]["w"]) for part in PARTS)
    )


def test_state_comes_back(tmp_path):
    assert read_state(tmp_path) is None
    write_state(tmp_path, parts(1.0), {"value": 1.0})
    assert is_whole(tmp_path, 1.0)
    write_state(tmp_path, parts(2.0), {"value": 2.0})
    assert is_whole(tmp_path, 2.0)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def die_at(call: int) -> None:
    """Let this process vanish, without clean-up, at the given call of an operation that changes the disk."""
    calls = [0]

    def counted(operation):
        def wrapper(*args, **kwargs):
            calls[0] += 1
            if calls[0] == call:
                os._exit(9)
            return operation(*args, **kwargs)

        return wrapper

    os.replace = counted(os.replace)
    os.unlink = counted(os.unlink)
    os.rmdir = counted(os.rmdir)
    Path.rename = counted(Path.rename)
    shutil.rmtree = counted(shutil.rmtree)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("before", ["last", "last.old"])
def test_a_process_that_dies_at_any_moment_leaves_a_whole_checkpoint(tmp_path, before):
    """Kill a writer before each of its operations on the disk in turn; the old or the new state is there.

    The writer finds a tidy folder, or one in which an earlier writer died between its two renamings.
    """
    outcomes = []
    for call in range(1, 200):
        folder = tmp_path / str(call)
        write_state(folder, parts(1.0), {"value": 1.0})
        (folder / "last").rename(folder / before)
        child = os.fork()
        if child == 0:
            die_at(call)
            write_state(folder, parts(2.0), {"value": 2.0})
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        outcomes.append(is_whole(folder, 2.0))
        assert outcomes[-1] or is_whole(folder, 1.0)
        write_state(folder, parts(3.0), {"value": 3.0})
        assert is_whole(folder, 3.0)
        assert [p.name for p in folder.iterdir()] == ["last"]
        if not died:
            break
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 10
    assert outcomes[-1]


def test_a_full_disk_keeps_the_earlier_state(tmp_path, monkeypatch):
    write_state(tmp_path, parts(1.0), {"value": 1.0})
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="no room"):
        write_state(tmp_path, parts(2.0), {"value": 2.0})
    monkeypatch.undo()
    assert is_whole(tmp_path, 1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_a_damaged_state_is_named(tmp_path):
    write_state(tmp_path, parts(1.0), {"value": 1.0})
    shutil.copy(tmp_path / "last" / "ema.safetensors", tmp_path / "last" / "network.safetensors")
    with pytest.raises(IntegrityError, match="network"):
        read_state(tmp_path)
    (tmp_path / "last" / "network.safetensors").unlink()
    with pytest.raises(CheckpointError, match="does not exist"):
        read_state(tmp_path)
    path = tmp_path / "last" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state_version": 99}))
    with pytest.raises(CheckpointError, match="state_version 99"):
        read_state(tmp_path)


def test_differences_are_listed_and_harmless_ones_are_not():
    before = {"config": {"steps": 5, "horizon": 9, "clip": 1.0}, "card": {"data": {"sha256": "a"}}, "processes": 1}
    check_same_run(before, {**before, "config": {"steps": 7, "horizon": 9, "clip": 1.0}})
    now = {"config": {"steps": 5, "horizon": 9, "clip": None}, "card": {"data": {}}, "processes": 2}
    with pytest.raises(ConfigError) as caught:
        check_same_run(before, now)
    for line in ("config.clip was 1.0, is None", "card.data.sha256 was 'a', is 'absent'", "processes was 1, is 2"):
        assert line in str(caught.value)


def test_a_folder_is_free_again_after_its_run(tmp_path):
    with claimed(tmp_path / "run"), pytest.raises(ConfigError, match="another process"), claimed(tmp_path / "run"):
        pass
    with claimed(tmp_path / "run"):
        pass
