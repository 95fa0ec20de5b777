"""Models on the Hugging Face hub: a weights file, its JSON card, and a README made of the card.

Three files go up, ``NAME.safetensors``, ``NAME.json`` and ``README.md``, and the first two come down. Nothing is
unpickled, and nothing that was fetched gets its name before the weights have the sha256 of the card. The
sha256 guards against damage and against a mixture of versions; a repository that replaces both files is trusted by
naming a revision, best the full hash of a commit.

`huggingface_hub` is imported when a client is needed and none was given.
"""

from __future__ import annotations

import os
import re
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from scidiff.errors import ConfigError, MissingPackageError
from scidiff.interchange.model_page import model_page
from scidiff.io.checkpoint import card_path, load_model
from scidiff.io.files import atomic_write

__all__ = ["HubClient", "pull_model", "push_model"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REPOSITORY = re.compile(rf"{_NAME.pattern}/{_NAME.pattern}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}")


class HubClient(Protocol):
    """What is asked of a client; ``huggingface_hub.HfApi`` has it."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Make the repository if it is not there."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        """Put the files of a folder into one commit."""
        ...

    def hf_hub_download(self, repo_id: str, filename: str, *, revision: str, local_dir: str) -> str:
        """Fetch one file and return its path."""
        ...


def push_model(
    path: str | Path, repository: str, *, private: bool = True, message: str = "", client: HubClient | None = None
) -> str:
    """Put a model file with its card and a README into a repository of the hub, in one commit.

    Parameters
    ----------
    path
        Weights file; the card lies beside it. Both are checked before anything is sent.
    repository
        ``owner/name``.
    private
        Whether a repository that is made now can be seen by its owner only; one that exists keeps its setting.
    message
        Message of the commit; names model and version by default.
    client
        The client; by default ``huggingface_hub.HfApi()`` with the login of the machine.

    Returns
    -------
    str
        Text of the README.

    Raises
    ------
    MissingPackageError
        If there is no client and `huggingface_hub` is not installed.
    ConfigError
        If the repository or the file has a name that the hub does not take.
    CheckpointError, IntegrityError
        If the model file is missing or damaged.
    """
    path = Path(path)
    _check(_REPOSITORY, repository, "repository", "owner/name")
    _check(_NAME, path.stem, "model", "letters, digits, dots, dashes and underscores")
    _, card = load_model(path)
    client = _client() if client is None else client
    page = model_page(path.stem, repository, card)
    with tempfile.TemporaryDirectory() as folder:
        for source in (path, card_path(path)):
            with atomic_write(Path(folder) / source.name, "wb") as file:
                file.write(source.read_bytes())
        with atomic_write(Path(folder) / "README.md") as file:
            file.write(page)
        client.create_repo(repository, private=private, exist_ok=True)
        client.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=message or f"{path.stem}, sha256 {card['sha256'][:12]}",
        )
    return page


def pull_model(
    repository: str,
    name: str,
    revision: str,
    folder: str | Path,
    *,
    client: HubClient | None = None,
    largest_bytes: int = 8 * 2**30,
) -> Path:
    """Fetch a model file and its card, and check them.

    Parameters
    ----------
    repository
        ``owner/name``.
    name
        Name of the model file, without ending.
    revision
        Commit, tag or branch; only the hash of a commit always means the same files.
    folder
        Where the files go.
    client
        As for `push_model`.
    largest_bytes
        Weights above this size are refused.

    Returns
    -------
    Path
        The weights, with their card beside them, for the ``load`` of a domain.

    Raises
    ------
    MissingPackageError
        If there is no client and `huggingface_hub` is not installed.
    ConfigError
        If a name is not one of the hub's, or the client put a file elsewhere.
    CheckpointError
        If the files are no model of this package, or are too large.
    IntegrityError
        If the weights do not have the sha256 of the card.
    """
    _check(_REPOSITORY, repository, "repository", "owner/name")
    _check(_NAME, name, "model", "letters, digits, dots, dashes and underscores")
    _check(_REVISION, revision, "revision", "a commit, tag or branch")
    client = _client() if client is None else client
    final = Path(folder) / f"{name}.safetensors"
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".hub-") as here:
        fetched = Path(here) / final.name
        for wanted in (card_path(fetched), fetched):
            got = client.hf_hub_download(repository, wanted.name, revision=revision, local_dir=here)
            if Path(got).resolve() != wanted.resolve():
                raise ConfigError(
                    f"the client put {wanted.name} at '{got}'; expected '{wanted}': use HfApi or its like"
                )
        load_model(fetched, largest_bytes=largest_bytes)
        os.replace(fetched, final)
        os.replace(card_path(fetched), card_path(final))
    return final


def _check(pattern: re.Pattern[str], value: str, what: str, expected: str) -> None:
    if not pattern.fullmatch(value) or ".." in value:
        raise ConfigError(f"{what} is '{value}'; expected {expected}")


def _client() -> HubClient:
    """Client of the hub."""
    try:
        return import_module("huggingface_hub").HfApi()
    except ImportError as error:
        raise MissingPackageError(
            f"huggingface_hub cannot be imported ({error}); install it with \"pip install 'scidiff[hub]'\", or pass a "
            "client"
        ) from error
