"""The state of a campaign, read off its files: nothing else knows it, so nothing else can be wrong.

The manifest lists every shard with its counts and the SHA-256 of its file; the digest of a campaign is the SHA-256 of
the manifest's lines. Two folders with one digest have the same content to the last byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scidiff.campaign.folder import CARD, QUARANTINE, Folder
from scidiff.campaign.plan import FORMAT
from scidiff.campaign.shard_file import Footer, read_footer
from scidiff.campaign.specification import Specification, parse
from scidiff.errors import DataError
from scidiff.io.files import sha256_lines

__all__ = ["Card", "Status", "digest", "footers", "manifest", "read_card", "status"]


@dataclass(frozen=True)
class Card:
    """What ``campaign.json`` says.

    Parameters
    ----------
    hash, seed
        Hash of the campaign, and the seed of its draws.
    specification
        The specification of the last run.
    versions
        Versions of the software that began it.
    """

    hash: str
    seed: int
    specification: Specification
    versions: dict[str, str]


@dataclass(frozen=True)
class Status:
    """How far a campaign is.

    Parameters
    ----------
    name, domain, hash
        Which campaign it is.
    shards, shards_planned
        Shards that have a file, and all that there are to be.
    rows, rows_planned
        Rows, likewise.
    valid, accepted
        Counts of the rows.
    quarantined
        Reason of each shard that is given up.
    damaged
        Shards whose file cannot be read; the next run makes them anew.
    """

    name: str
    domain: str
    hash: str
    shards: int
    shards_planned: int
    rows: int
    rows_planned: int
    valid: int
    accepted: int
    quarantined: dict[int, str]
    damaged: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the state as one JSON object."""
        return {**asdict(self), "quarantined": {str(shard): why for shard, why in self.quarantined.items()}}

    def lines(self) -> list[str]:
        """Return the state as lines for people."""
        share = f"{self.valid / self.rows:.2%}" if self.rows else "-"
        found = [
            f"{self.name} ({self.domain}), campaign {self.hash[:12]}",
            f"{self.rows:,} of {self.rows_planned:,} rows in {self.shards:,} of {self.shards_planned:,} shards",
            f"valid {share}, accepted {self.accepted:,}",
        ]
        found += [f"shard {shard} is quarantined: {why}" for shard, why in self.quarantined.items()]
        return found + [f"shard {shard} is damaged; the next run makes it anew" for shard in self.damaged]


def read_card(where: str | Path | Folder) -> Card:
    """Read the card of a campaign.

    Parameters
    ----------
    where
        The folder.

    Returns
    -------
    Card
        What it says.

    Raises
    ------
    DataError
        If it is not there, damaged, or of another format.
    """
    folder = Folder.at(where)
    card = folder.read_json(CARD)
    if card.get("format") != FORMAT:
        raise DataError(f"{CARD} in {folder.url} has format {card.get('format')}; this version reads format {FORMAT}")
    try:
        name, seed = str(card["hash"]), int(card["seed"])
        specification, versions = dict(card["specification"]), dict(card["versions"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{CARD} in {folder.url} is damaged: {type(error).__name__}: {error}; restore the file"
        ) from error
    return Card(name, seed, parse(specification), versions)


def footers(folder: Folder, damaged: list[int] | None = None) -> Iterator[Footer]:
    """Yield the footers of all shards.

    Parameters
    ----------
    folder
        The folder.
    damaged
        Takes the numbers of files that cannot be read; without it they raise `DataError`.
    """
    for shard in folder.numbers():
        try:
            yield read_footer(folder, shard)
        except DataError:
            if damaged is None:
                raise
            damaged.append(shard)


def status(where: str | Path) -> Status:
    """Read the state of a campaign, running or not.

    Parameters
    ----------
    where
        The folder.

    Returns
    -------
    Status
        Its state.

    Raises
    ------
    DataError
        If the folder is not that of a campaign.
    """
    folder = Folder.at(where)
    card = read_card(folder)
    settings, damaged = card.specification, []
    found = list(footers(folder, damaged))
    notes = {shard: str(folder.read_json(folder.note(shard)).get("reason", "")) for shard in folder.numbers(QUARANTINE)}
    conditions = 1
    for values in settings.conditions.values():
        conditions *= len(values)
    return Status(
        settings.name,
        settings.domain,
        card.hash,
        len(found),
        -(-settings.count // settings.shards.rows) * conditions,
        sum(each.rows for each in found),
        settings.count * conditions,
        sum(each.valid for each in found),
        sum(each.accepted for each in found),
        notes,
        tuple(damaged),
    )


def manifest(where: str | Path) -> list[dict[str, Any]]:
    """List the shards with their counts and hashes.

    Parameters
    ----------
    where
        The folder.

    Returns
    -------
    list of dict
        One entry for each file, by number.
    """
    folder = Folder.at(where)
    return [
        {**asdict(each), "sha256": hashlib.sha256(folder.read(folder.shard(each.shard))).hexdigest()}
        for each in footers(folder)
    ]


def digest(where: str | Path) -> str:
    """Return the SHA-256 of the content of a campaign.

    Parameters
    ----------
    where
        The folder.

    Returns
    -------
    str
        64 hexadecimal digits; equal for equal content, whoever made it.
    """
    return sha256_lines(f"{each['shard']} {each['sha256']}" for each in manifest(where))
