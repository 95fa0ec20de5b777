"""The rows of a campaign as one table of DuckDB, wherever the shards lie, within a bounded memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scidiff.campaign.folder import Folder
from scidiff.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Query", "quoted", "rows"]

MEMORY = "1GB"


def quoted(name: str) -> str:
    """Quote the name of a column for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


class Query:
    """A connection with the view ``rows``.

    Parameters
    ----------
    connection
        A connection of DuckDB.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.columns: dict[str, str] = {name: kind for name, kind, *_ in connection.execute("DESCRIBE rows").fetchall()}

    def table(self, sql: str, **tables: pa.Table) -> pa.Table:
        """Run a statement and return its rows.

        Parameters
        ----------
        sql
            The statement.
        **tables
            Tables that it may use besides ``rows``.

        Raises
        ------
        ConfigError
            If the statement is no SQL, or fails on a row.
        """
        with self._guard():
            return self._run(sql, tables).to_arrow_table()

    def batches(self, sql: str, size: int, **tables: pa.Table) -> Iterator[pa.RecordBatch]:
        """Run a statement and yield its rows, so many at a time."""
        with self._guard():
            reader = self._run(sql, tables).to_arrow_reader(size)
        while True:
            with self._guard():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    def plain(self) -> list[str]:
        """Names of the columns that are no bytes, those that every campaign has first."""
        first = ["index", "condition", "status", "reason", "accepted"]
        rest = [name for name, kind in self.columns.items() if kind != "BLOB" and name not in first]
        return first + sorted(rest)

    def _run(self, sql: str, tables: dict[str, pa.Table]) -> Any:
        for name, table in tables.items():
            self._connection.register(name, table)
        return self._connection.sql(sql)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Say what is wrong with a statement, when it is read or when it is run."""
        import duckdb
        import pyarrow as pa

        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ConfigError(f"the query cannot be run: {first}; columns are {', '.join(self.columns)}") from error


@contextlib.contextmanager
def rows(folder: Folder) -> Iterator[Query]:
    """Open the rows of a campaign.

    Parameters
    ----------
    folder
        The folder.

    Yields
    ------
    Query
        The rows.

    Raises
    ------
    DataError
        If there are no shards, or one is damaged.
    """
    import duckdb

    shards = folder.numbers()
    if not shards:
        raise DataError(f"{folder.url} has no rows; run the campaign first")
    paths = [folder.path(folder.shard(shard)) for shard in shards]
    with tempfile.TemporaryDirectory(prefix="scidiff-campaign-") as scratch, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = {literal(scratch)}")
        # in a notebook without widgets the bar is off, and DuckDB refuses to set it
        if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
            connection.execute("SET enable_progress_bar = false")
        if not folder.local:
            connection.register_filesystem(folder.system)
            paths = [folder.system.unstrip_protocol(path) for path in paths]
        listed = ", ".join(map(literal, paths))
        try:
            connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet([{listed}], union_by_name = true)")
            query = Query(connection)
        except duckdb.Error as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(f"the shards of {folder.url} cannot be read: {first}; run the campaign again") from error
        yield query
