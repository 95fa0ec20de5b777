"""The folder of a campaign, on a disk or in an object store.

    campaign.json                     specification, hash, versions; written first
    shards/shard-00000012.parquet     rows; written whole or not at all
    quarantine/shard-00000007.json    why a shard was given up
    selection.parquet                 what `select` picked

On a disk a file appears by a temporary name, fsync and rename; in an object store by one upload, which shows the object
only when it is complete. Any address that `fsspec` knows will do, e.g. ``s3://bucket/run`` with the package for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import atomic_write

__all__ = ["Folder"]

SHARDS, QUARANTINE, CARD = "shards", "quarantine", "campaign.json"
_SHARD = re.compile(r"shard-(\d{8,})\.(parquet|json)")


@dataclass(frozen=True)
class Folder:
    """A folder under one address.

    Parameters
    ----------
    url
        A path, or an address of `fsspec`.
    """

    url: str

    @classmethod
    def at(cls, where: str | Path | Folder) -> Folder:
        """Return the folder of a path or an address."""
        if isinstance(where, Folder):
            return where
        text = str(where)
        return cls(text if "://" in text else str(Path(text).expanduser().resolve()))

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            return url_to_fs(self.url)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigError(f"'{self.url}' cannot be opened: {error}; give a path, or install the package") from error

    @property
    def system(self) -> Any:
        """The file system of `fsspec`."""
        return self._place[0]

    @property
    def local(self) -> bool:
        """Whether it lies on a disk of this machine, or one mounted here."""
        return "file" in self._protocols

    @property
    def shared(self) -> bool:
        """Whether other processes see it."""
        return "memory" not in self._protocols

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol = self.system.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def path(self, name: str = "") -> str:
        """Return the path of a file within the file system."""
        return f"{self._place[1].rstrip('/')}/{name}".rstrip("/")

    def shard(self, index: int) -> str:
        """Return the name of the file of a shard."""
        return f"{SHARDS}/shard-{index:08d}.parquet"

    def note(self, index: int) -> str:
        """Return the name of the file that says why a shard was given up."""
        return f"{QUARANTINE}/shard-{index:08d}.json"

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        if self.local:
            with atomic_write(self.path(name), "wb") as file:
                file.write(content)
            return
        self.system.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)
        self.system.pipe_file(self.path(name), content)

    def read(self, name: str) -> bytes:
        """Read a file."""
        try:
            return self.system.cat_file(self.path(name))
        except OSError as error:
            raise DataError(
                f"cannot read {name} in {self.url}: {type(error).__name__}; expected the folder of a campaign"
            ) from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object."""
        content = self.read(name)
        try:
            value = json.loads(content)
        except ValueError as error:
            raise DataError(f"{name} in {self.url} is no JSON: {error}; restore the file") from error
        if not isinstance(value, dict):
            raise DataError(f"{name} in {self.url} is no JSON object; restore the file")
        return value

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON object, keys in order, so that equal objects make equal files."""
        self.write(name, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self.system.exists(self.path(name)))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.system.rm_file(self.path(name))

    def numbers(self, part: str = SHARDS) -> list[int]:
        """Return the numbers of the shards that have a file in a part of the folder, ascending."""
        found = (_SHARD.fullmatch(name) for name in self._names(part))
        return sorted(int(match.group(1)) for match in found if match)

    def sweep(self) -> int:
        """Delete what killed writers left behind, and return how many files that were."""
        left = [f"{part}/{name}" for part in (SHARDS, QUARANTINE) for name in self._names(part) if name[-4:] == ".tmp"]
        for name in left:
            self.delete(name)
        return len(left)

    def _names(self, part: str) -> list[str]:
        self.system.invalidate_cache()
        try:
            return [path.rstrip("/").rpartition("/")[2] for path in self.system.ls(self.path(part), detail=False)]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other coordinators of this machine out of a local folder; the lock ends with the process.

        Raises
        ------
        ConfigError
            If another run holds the folder.
        """
        if not self.local or os.name != "posix":
            yield
            return
        import fcntl

        target = Path(self.path(".lock"))
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(f"another run works in {self.url}; wait for it, or end it") from error
            yield
