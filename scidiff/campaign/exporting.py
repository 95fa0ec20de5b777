"""Rows out of a campaign: CSV and Parquet, and the formats of the domain by its own writers.

Rows are written one after the other, so that the memory does not grow with their number. Beside a file lies
``<name>.json`` with the provenance: campaign, seed, model, versions, what was selected. The column ``id`` names a
sample for ever: the first digits of the campaign's hash, and the index.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scidiff.campaign.folder import Folder
from scidiff.campaign.query import Query, literal, quoted, rows
from scidiff.campaign.selection import Selection
from scidiff.campaign.shard_file import rows_of
from scidiff.campaign.state import Card, read_card
from scidiff.domain import CampaignAdapter
from scidiff.errors import ConfigError
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance
from scidiff.registry import load_domain

__all__ = ["endings", "export"]

_TABLES = (".csv", ".parquet")
_FEW, _MANY = 1024, 65536


def endings(adapter: CampaignAdapter) -> tuple[str, ...]:
    """Endings of the files that a domain's rows can be written to."""
    return (*_TABLES, *adapter.writers)


def export(
    where: str | Path, path: str | Path, selection: Selection | None = None, *, condition: str = "accepted"
) -> int:
    """Write rows of a campaign to a file.

    Parameters
    ----------
    where
        The folder.
    path
        The file; its ending decides the format: ``.csv``, ``.parquet``, or one of the domain.
    selection
        Rows that were picked, in that order.
    condition
        Without a selection: a condition of SQL on the columns; ``"true"`` takes all rows.

    Returns
    -------
    int
        Number of rows written.

    Raises
    ------
    ConfigError
        If the ending is another one, its folder does not exist, or the condition is no SQL.
    DataError
        If the folder has no rows.
    """
    folder, target = Folder.at(where), Path(path)
    card = read_card(folder)
    adapter = load_domain(card.specification.domain).load_campaign()
    if target.suffix not in endings(adapter):
        raise ConfigError(f"'{target.name}' ends in '{target.suffix}'; expected one of {', '.join(endings(adapter))}")
    if not target.resolve().parent.is_dir():
        raise ConfigError(f"folder '{target.resolve().parent}' does not exist; make it, or choose another file")
    with rows(folder) as query:
        source = _source(card, selection, condition)
        tables = {} if selection is None else {"picks": selection.table()}
        count = int(query.table(f"SELECT count(*) AS n FROM ({source})", **tables)["n"][0].as_py())
        facts = _facts(card, selection, condition, count)
        if target.suffix in _TABLES:
            _table(query, source, _order(selection), target, tables)
        else:
            ordered = f"SELECT * FROM ({source}) ORDER BY {_order(selection)}"
            found = rows_of(query.batches(ordered, _FEW, **tables))
            adapter.writers[target.suffix](target, _without(found), facts)
    with atomic_write(target.with_name(target.name + ".json")) as file:
        json.dump(facts, file, indent=2)
    return count


def _source(card: Card, selection: Selection | None, condition: str) -> str:
    """Write the statement that gives the rows."""
    name = f'{literal(card.hash[:12] + "-")} || rows."index" AS id'
    if selection is None:
        return f"SELECT {name}, rows.* FROM rows WHERE {condition}"
    return f'SELECT {name}, picks.pick, picks.rank, picks.cluster, rows.* FROM picks JOIN rows USING ("index")'


def _order(selection: Selection | None) -> str:
    return '"index"' if selection is None else "pick"


def _table(query: Query, source: str, order: str, target: Path, tables: dict[str, Any]) -> None:
    """Write a table in batches; CSV has no columns of bytes."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    picks = ["pick", "rank", "cluster"] if tables else []
    names = ["id", *picks, *(query.plain() if target.suffix == ".csv" else sorted(query.columns))]
    batches = query.batches(f"SELECT {', '.join(map(quoted, names))} FROM ({source}) ORDER BY {order}", _MANY, **tables)
    first = next(batches, None)
    schema = pa.schema([]) if first is None else first.schema
    with atomic_write(target, "wb") as file:
        make = csv.CSVWriter if target.suffix == ".csv" else pq.ParquetWriter
        with make(file, schema) as writer:
            for batch in () if first is None else itertools.chain((first,), batches):
                writer.write_batch(batch)


def _facts(card: Card, selection: Selection | None, condition: str, count: int) -> dict[str, Any]:
    """Where the rows come from."""
    chosen = {"condition": condition} if selection is None else dict(selection.facts)
    return provenance(
        hash=card.hash,
        seed=card.seed,
        count=count,
        selection=chosen,
        begun_with=card.versions,
        specification=card.specification.model_dump(mode="json"),
    )


def _without(found: Iterator[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Leave the features out: they are a means of `select`."""
    for row in found:
        row.pop("features", None)
        yield row
