"""From many accepted rows to a few good and different ones.

1. accepted rows; of rows that are the same by the domain's key only the first
2. fronts of the objectives, best first, until the pool is full (without objectives every row is in it)
3. at most so many of a family, e.g. of a scaffold
4. MaxMin picks among these, beginning with the first of the best front
5. clusters of the picks, where a radius is given

What is picked depends on the rows alone. Without a count, step 2 keeps the first front and step 4 is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.campaign.diversity import cap, clusters, distances_of, maxmin
from scidiff.campaign.folder import Folder
from scidiff.campaign.pareto import fronts
from scidiff.campaign.query import Query, quoted, rows
from scidiff.campaign.shard_file import feature_matrix, feature_type
from scidiff.campaign.specification import Diversity, Objectives
from scidiff.campaign.state import read_card
from scidiff.domain import CampaignAdapter
from scidiff.errors import ConfigError, DataError, UnknownNameError
from scidiff.registry import load_domain

__all__ = ["FILE", "Selection", "load_selection", "select"]

FILE = "selection.parquet"
_POOL = 10


@dataclass(frozen=True, eq=False)
class Selection:
    """Picked rows.

    Parameters
    ----------
    index
        Index of each row, in the order of the picks.
    rank
        Number of its front, 0 for the best; 0 for all without objectives.
    cluster
        Number of its cluster; -1 without a radius.
    facts
        Campaign, settings, and how many rows were left after each step.
    """

    index: np.ndarray
    rank: np.ndarray
    cluster: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    def table(self) -> Any:
        """Return the picks as a table of Arrow, with the place of each."""
        import pyarrow as pa

        places = np.arange(len(self), dtype=np.int64)
        return pa.table({"pick": places, "index": self.index, "rank": self.rank, "cluster": self.cluster})


def select(
    where: str | Path,
    *,
    count: int | None = None,
    maximise: Sequence[str] | None = None,
    minimise: Sequence[str] | None = None,
    condition: str = "",
    per_group: int | None = None,
    pool: int | None = None,
    radius: float | None = None,
    save: bool = True,
) -> Selection:
    """Pick rows of a campaign; what is not given is taken from its specification.

    Parameters
    ----------
    where
        The folder.
    count
        Number of picks.
    maximise, minimise
        Scores of which more, or less, is better.
    condition
        A condition of SQL on the columns, besides that a row is accepted, e.g. ``"qed > 0.8 and size <= 9"``.
    per_group
        Rows of one family.
    pool
        Rows that the best fronts are to hold at least; ten for each pick by default.
    radius
        Radius of clusters.
    save
        Write the picks into the folder, as ``selection.parquet``.

    Returns
    -------
    Selection
        The picks.

    Raises
    ------
    ConfigError
        If a number is out of range, an objective is no number of the rows, or the condition is no SQL.
    DataError
        If no row is left.
    """
    folder = Folder.at(where)
    card = read_card(folder)
    adapter = load_domain(card.specification.domain).load_campaign()
    aims = card.specification.objectives
    if maximise is not None or minimise is not None:
        aims = Objectives(maximise=list(maximise or ()), minimise=list(minimise or ()))
    wishes = _merged(card.specification.diversity, count=count, per_group=per_group, pool=pool, radius=radius)
    with rows(folder) as query:
        *found, counts = _Narrowing(query, adapter, folder, aims, wishes).run(condition)
    settings = {"objectives": aims.model_dump(), "diversity": wishes.model_dump(), "condition": condition}
    selection = Selection(*found, {"campaign": card.hash, **settings, **counts})
    if save:
        _save(folder, selection)
    return selection


def _merged(base: Diversity, **given: Any) -> Diversity:
    """Settings of the specification with those of the call in their place."""
    bad = {name: value for name, value in given.items() if value is not None and not value > 0}
    if bad:
        name, value = next(iter(bad.items()))
        raise ConfigError(f"{name} is {value}; expected a number above 0")
    return base.model_copy(update={name: value for name, value in given.items() if value is not None})


class _Narrowing:
    """The steps, each on what the one before it left."""

    def __init__(
        self, query: Query, adapter: CampaignAdapter, folder: Folder, aims: Objectives, wishes: Diversity
    ) -> None:
        self.query, self.adapter, self.folder, self.wishes = query, adapter, folder, wishes
        self.signs = {**dict.fromkeys(aims.maximise, -1.0), **dict.fromkeys(aims.minimise, 1.0)}
        for name in self.signs:
            if name not in query.columns:
                raise UnknownNameError("column", name, query.columns)
            if query.columns[name] not in ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "BOOLEAN"):
                raise ConfigError(f"'{name}' is {query.columns[name]}; an objective has to be a number")

    def run(self, condition: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
        """Return indices, ranks, clusters, and the counts after each step."""
        index, values = self._accepted(condition)
        counts = {"accepted": len(index)}
        if not len(index):
            raise DataError("no row is accepted under these conditions; loosen them, or run the campaign further")
        order, rank = self._pool(values)
        index = index[order]
        counts["pool"] = len(index)
        if self.wishes.per_group is not None:
            kept = cap(self._groups(index), self.wishes.per_group)
            index, rank = index[kept], rank[kept]
            counts["capped"] = len(index)
        features = self._features(index) if self.wishes.count or self.wishes.radius else None
        if self.wishes.count is not None:
            chosen = (
                np.arange(len(index))[: self.wishes.count]
                if features is None
                else maxmin(distances_of(features), self.wishes.count)
            )
            index, rank = index[chosen], rank[chosen]
            features = None if features is None else features[chosen]
        label = np.full(len(index), -1)
        if self.wishes.radius is not None and features is not None:
            label = clusters(distances_of(features), self.wishes.radius)
        return index, rank, label, {**counts, "picked": len(index)}

    def _accepted(self, condition: str) -> tuple[np.ndarray, np.ndarray]:
        """Indices of accepted rows, each once, with their objectives, smaller is better."""
        asked = "accepted" + (f" AND ({condition})" if condition else "")
        asked += "".join(f" AND {quoted(name)} IS NOT NULL" for name in self.signs)
        if self.wishes.unique and self.adapter.key:
            key = quoted(self.adapter.key)
            asked += f' AND "index" IN (SELECT min("index") FROM rows WHERE {asked} GROUP BY {key})'
        names = "".join(f", {quoted(name)}::DOUBLE AS {quoted(name)}" for name in self.signs)
        table = self.query.table(f'SELECT "index"{names} FROM rows WHERE {asked} ORDER BY "index"')
        values = [sign * table[name].to_numpy() for name, sign in self.signs.items()]
        return table["index"].to_numpy(), np.stack(values, 1) if values else np.zeros((len(table), 0))

    def _pool(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the best fronts, best first, and the front of each."""
        if not values.shape[1]:
            return np.arange(len(values)), np.zeros(len(values), dtype=np.int64)
        enough = 1 if self.wishes.count is None else self.wishes.pool or _POOL * self.wishes.count
        found = fronts(values, enough)
        return np.concatenate(found), np.repeat(np.arange(len(found)), [len(front) for front in found])

    def _groups(self, index: np.ndarray) -> np.ndarray:
        """Number of the family of each row; a row without one is a family of its own."""
        if not self.adapter.group:
            raise ConfigError("the domain knows no families of samples; leave per_group out")
        column = self._aligned(self.adapter.group, index)
        alone = np.fromiter((not value for value in column.to_pylist()), dtype=bool, count=len(column))
        groups = column.dictionary_encode().combine_chunks().indices.fill_null(0).to_numpy().astype(np.int64)
        groups[alone] = -1 - np.arange(int(alone.sum()))
        return groups

    def _features(self, index: np.ndarray) -> np.ndarray | None:
        """Features of rows, in their order."""
        if "features" not in self.query.columns:
            return None
        return feature_matrix(self._aligned("features", index), feature_type(self.folder))

    def _aligned(self, name: str, index: np.ndarray) -> Any:
        """Values of a column for rows, in their order."""
        import pyarrow as pa

        wanted = pa.table({"wanted": index, "place": np.arange(len(index), dtype=np.int64)})
        sql = f'SELECT rows.{quoted(name)} AS value FROM picks JOIN rows ON rows."index" = picks.wanted ORDER BY place'
        return self.query.table(sql, picks=wanted)["value"]


def _save(folder: Folder, selection: Selection) -> None:
    """Write the picks into the folder."""
    import json

    import pyarrow.parquet as pq

    sink = BytesIO()
    facts = {"scidiff.selection": json.dumps(selection.facts, sort_keys=True)}
    pq.write_table(selection.table().replace_schema_metadata(facts), sink, compression="zstd")
    folder.write(FILE, sink.getvalue())


def load_selection(where: str | Path) -> Selection:
    """Read the picks of the last `select`.

    Parameters
    ----------
    where
        The folder.

    Returns
    -------
    Selection
        The picks.

    Raises
    ------
    DataError
        If there are none, or the file is damaged.
    """
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Folder.at(where)
    try:
        table = pq.read_table(BytesIO(folder.read(FILE)))
        facts = json.loads(table.schema.metadata[b"scidiff.selection"])
        return Selection(*(table[name].to_numpy() for name in ("index", "rank", "cluster")), facts)
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{FILE} in {folder.url} cannot be read: {error}; select again") from error
