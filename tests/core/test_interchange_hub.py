"""Models go to a hub and come back: three files up, two down, and nothing passes that the card does not vouch for."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from scidiff.errors import CheckpointError, ConfigError, IntegrityError, MissingPackageError
from scidiff.interchange import model_page, pull_model, push_model
from scidiff.io.checkpoint import load_model, save_model

CARD = {"task": {"domain": "molecules"}, "metrics": {"valid": 1.0}, "notes": "a | b\n# c ```"}


class Hub:
    """A hub in a folder: one folder for each commit of each repository."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made, self.asked = folder, [], []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.made.append((repo_id, private, exist_ok))
        (self.folder / repo_id).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        shutil.copytree(folder_path, self.folder / repo_id / "c1")
        self.message = commit_message

    def hf_hub_download(self, repo_id: str, filename: str, *, revision: str, local_dir: str) -> str:
        self.asked.append((filename, revision))
        return shutil.copy(self.folder / repo_id / revision / filename, Path(local_dir) / filename)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "small.safetensors"
    save_model(path, {"weight": torch.arange(6.0).reshape(2, 3)}, CARD)
    return path


@pytest.fixture
def hub(tmp_path: Path, saved: Path) -> Hub:
    client = Hub(tmp_path / "hub")
    push_model(saved, "people/small-model", client=client)
    return client


def test_a_model_comes_back_bit_by_bit(hub, saved, tmp_path):
    path = pull_model("people/small-model", "small", "c1", tmp_path / "new", client=hub)
    assert path.read_bytes() == saved.read_bytes()
    tensors, card = load_model(path)
    assert torch.equal(tensors["weight"], torch.arange(6.0).reshape(2, 3)) and card["metrics"] == CARD["metrics"]
    assert hub.asked == [("small.json", "c1"), ("small.safetensors", "c1")]
    assert sorted(file.name for file in path.parent.iterdir()) == ["small.json", "small.safetensors"]


def test_what_goes_up(hub, saved):
    assert hub.made == [("people/small-model", True, True)]
    commit = hub.folder / "people/small-model" / "c1"
    assert sorted(file.name for file in commit.iterdir()) == ["README.md", "small.json", "small.safetensors"]
    assert hub.message.startswith("small, sha256 ")


def test_the_page_says_what_the_card_says(hub, saved):
    page = (hub.folder / "people/small-model" / "c1" / "README.md").read_text(encoding="utf-8")
    _, card = load_model(saved)
    assert page == model_page("small", "people/small-model", card)
    head = page.split("---\n")[1]
    assert head == "library_name: scidiff\ntags:\n- diffusion\n- molecules\n"
    assert card["sha256"] in page and "| parameters | 6 |" in page
    assert 'pull_model("people/small-model", "small", revision="COMMIT"' in page
    assert "molecules.load(str(path))" in page
    assert page.count("```") % 2 == 0 and json.dumps("a | b\n# c ```")[:-5] in page


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"task": {"domain": "molecules/conformers"}, "licence": "apache-2.0"}, 'license: "apache-2.0"'),
        ({"long": list(range(999))}, "the rest stands on the card"),
        ({}, "| domain | not stated |"),
    ],
    ids=["licence", "long", "empty"],
)
def test_pages_of_other_cards(card, says):
    page = model_page("x", "a/b", card)
    assert says in page and "weights, card = load_model(path)" in page


def test_changed_weights_are_refused_and_leave_nothing(hub, tmp_path):
    weights = hub.folder / "people/small-model" / "c1" / "small.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(IntegrityError, match="sha256"):
        pull_model("people/small-model", "small", "c1", tmp_path / "new", client=hub)
    assert not list((tmp_path / "new").iterdir())


def test_a_pickle_under_the_name_of_weights_is_refused(hub, tmp_path):
    """It is compared with the card first and never opened; with a card of its own it is no safetensors file."""
    import hashlib

    commit = hub.folder / "people/small-model" / "c1"
    (commit / "small.safetensors").write_bytes(b"\x80\x04\x95cos\nsystem\n.")
    with pytest.raises(IntegrityError):
        pull_model("people/small-model", "small", "c1", tmp_path / "new", client=hub)
    card = json.loads((commit / "small.json").read_text())
    card["sha256"] = hashlib.sha256((commit / "small.safetensors").read_bytes()).hexdigest()
    (commit / "small.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="not a safetensors"):
        pull_model("people/small-model", "small", "c1", tmp_path / "new", client=hub)


def test_a_file_that_is_too_large_is_refused(hub, tmp_path):
    with pytest.raises(CheckpointError, match="at most 10"):
        pull_model("people/small-model", "small", "c1", tmp_path / "new", client=hub, largest_bytes=10)


def test_a_client_that_puts_files_elsewhere_is_refused(hub, tmp_path):
    class Elsewhere(Hub):
        def hf_hub_download(self, repo_id: str, filename: str, *, revision: str, local_dir: str) -> str:
            return str(tmp_path / "passwords")

    with pytest.raises(ConfigError, match="expected"):
        pull_model("people/small-model", "small", "c1", tmp_path / "new", client=Elsewhere(hub.folder))


@pytest.mark.parametrize("repository", ["small", "a/b/c", "../b", "a/..", "a/b c", "", "a/-b"])
def test_names_of_repositories(repository, saved, tmp_path):
    with pytest.raises(ConfigError, match="repository"):
        push_model(saved, repository, client=Hub(tmp_path))
    with pytest.raises(ConfigError, match="repository"):
        pull_model(repository, "small", "main", tmp_path, client=Hub(tmp_path))


@pytest.mark.parametrize(("name", "revision"), [("../x", "main"), ("a/b", "main"), ("x", ""), ("x", "../y")])
def test_names_of_models_and_revisions(name, revision, tmp_path):
    with pytest.raises(ConfigError, match=r"model|revision"):
        pull_model("a/b", name, revision, tmp_path, client=Hub(tmp_path))


def test_a_damaged_model_is_not_sent(saved, tmp_path):
    saved.write_bytes(saved.read_bytes()[:-1])
    client = Hub(tmp_path / "hub")
    with pytest.raises(IntegrityError):
        push_model(saved, "a/b", client=client)
    assert not client.made


def test_without_the_package_one_line_says_what_to_do(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'scidiff\[hub\]'"):
        push_model(saved, "a/b")


def test_the_real_client_has_the_calls():
    """Parameters by name, without a call: the package is asked for its signatures only."""
    import inspect

    api = pytest.importorskip("huggingface_hub").HfApi
    for name, wanted in (
        ("create_repo", {"private", "exist_ok"}),
        ("upload_folder", {"repo_id", "folder_path", "commit_message"}),
        ("hf_hub_download", {"repo_id", "filename", "revision", "local_dir"}),
    ):
        assert wanted <= set(inspect.signature(getattr(api, name)).parameters)
