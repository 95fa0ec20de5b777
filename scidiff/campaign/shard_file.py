"""One Parquet file for a shard, the same to the last byte whenever it is made from the same rows.

Columns are in alphabetical order, settings of the writer are fixed, and nothing in it tells the time or the machine.
The footer counts the rows, so that the state of a campaign is read from footers alone. An array of a sample is stored
as the bytes of an ``.npy`` file, features as bytes of fixed length.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scidiff.campaign.folder import Folder
from scidiff.errors import ConfigError, DataError

__all__ = ["Footer", "encode", "feature_matrix", "feature_type", "features_column", "read_footer", "rows_of"]

_KEYS = ("campaign", "shard", "rows", "valid", "accepted")
_ARRAY = {b"scidiff": b"npy"}


@dataclass(frozen=True)
class Footer:
    """What the footer of a shard says.

    Parameters
    ----------
    campaign
        Hash of the campaign.
    shard, rows, valid, accepted
        Number of the shard, and counts of its rows.
    """

    campaign: str
    shard: int
    rows: int
    valid: int
    accepted: int


def encode(columns: Mapping[str, Any], footer: Footer) -> bytes:
    """Make the content of a file.

    Parameters
    ----------
    columns
        Values by name.
    footer
        What goes into the footer.

    Returns
    -------
    bytes
        A Parquet file.
    """
    made = [_column(name, columns[name]) for name in sorted(columns)]
    metadata = {f"scidiff.{key}": str(getattr(footer, key)) for key in _KEYS}
    schema = pa.schema([each for each, _ in made], metadata=metadata)
    table = pa.Table.from_arrays([array for _, array in made], schema=schema)
    plain = [each.name for each, _ in made if not pa.types.is_binary(each.type) and each.name != "features"]
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, len(table)),
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=plain,
        write_statistics=plain,
        store_schema=True,
    )
    return sink.getvalue()


def _column(name: str, values: Any) -> tuple[pa.Field, pa.Array]:
    """Make the field and the array of a column."""
    if isinstance(values, _Features):
        width = values.rows.dtype.itemsize * values.rows.shape[1]
        blobs = [None if row is None else values.rows[row].tobytes() for row in values.places]
        kind = pa.binary(width) if width else pa.binary()
        facts = {b"scidiff": values.rows.dtype.str.encode()}
        return pa.field(name, kind, metadata=facts), pa.array(blobs, kind)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf":
        array = pa.array(values, from_pandas=True)
        return pa.field(name, array.type), array
    values = list(values)
    if any(isinstance(value, np.ndarray) for value in values):
        blobs = [None if value is None else _npy(value) for value in values]
        return pa.field(name, pa.binary(), metadata=_ARRAY), pa.array(blobs, pa.binary())
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ConfigError(f"column '{name}' mixes types ({error}); the domain has to give one type") from error
    return pa.field(name, array.type), array


@dataclass(frozen=True)
class _Features:
    """Feature rows and the place of each in the shard."""

    rows: np.ndarray
    places: Sequence[int | None]


def features_column(rows: np.ndarray, good: Sequence[bool]) -> _Features:
    """Put the features of the good rows in their places.

    Parameters
    ----------
    rows
        Shape ``(good rows, width)``, uint8 or float32.
    good
        Which rows are good.
    """
    if rows.ndim != 2 or rows.dtype not in (np.uint8, np.float32) or len(rows) != sum(good):
        raise ConfigError(
            f"features are {rows.dtype} of shape {rows.shape}; expected uint8 or float32 of {sum(good)} rows"
        )
    numbers = iter(range(len(rows)))
    return _Features(np.ascontiguousarray(rows), [next(numbers) if each else None for each in good])


def _npy(value: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(value), allow_pickle=False)
    return sink.getvalue()


def read_footer(folder: Folder, index: int) -> Footer:
    """Read the footer of a shard.

    Parameters
    ----------
    folder, index
        Where it lies.

    Returns
    -------
    Footer
        What it says.

    Raises
    ------
    DataError
        If the file is no Parquet file of a campaign.
    """
    name = folder.shard(index)
    try:
        with folder.system.open(folder.path(name), "rb") as file:
            found = pq.read_metadata(file)
        facts = {key: (found.metadata or {})[f"scidiff.{key}".encode()].decode() for key in _KEYS}
        footer = Footer(facts["campaign"], *(int(facts[key]) for key in _KEYS[1:]))
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(
            f"{name} in {folder.url} is damaged: {error}; run the campaign again to make it anew"
        ) from error
    if footer.shard != index or footer.rows != found.num_rows:
        raise DataError(f"{name} in {folder.url} holds shard {footer.shard}; run the campaign again to make it anew")
    return footer


def feature_type(folder: Folder) -> str:
    """Return the type of the numbers of the features, off the first shard that has any.

    Parameters
    ----------
    folder
        The folder.
    """
    for shard in folder.numbers():
        with folder.system.open(folder.path(folder.shard(shard)), "rb") as file:
            schema = pq.read_schema(file)
        if "features" in schema.names:
            return (schema.field("features").metadata or {}).get(b"scidiff", b"|u1").decode()
    raise DataError(f"no shard of {folder.url} has features; the rows cannot be compared")


def feature_matrix(column: pa.ChunkedArray, dtype: str) -> np.ndarray:
    """Turn a column of features into a matrix.

    Parameters
    ----------
    column
        The column, without gaps; all values have one length.
    dtype
        Type of the numbers.

    Returns
    -------
    ndarray
        Shape ``(rows, width)``.
    """
    width = len(column[0].as_py()) if len(column) else 0
    parts = [chunk.cast(pa.binary(width)) for chunk in column.chunks if len(chunk)] if width else []
    cut = [np.frombuffer(each.buffers()[-1], np.uint8)[each.offset * width :][: len(each) * width] for each in parts]
    joined = np.concatenate([each.reshape(-1, width) for each in cut]) if cut else np.zeros((len(column), 0), np.uint8)
    return joined.view(np.dtype(dtype))


def rows_of(batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yield rows as mappings from column to value, with arrays in the place of their bytes.

    Parameters
    ----------
    batches
        Batches of rows.
    """
    for batch in batches:
        for row in batch.to_pylist():
            yield {name: _decoded(value) for name, value in row.items()}


def _decoded(value: Any) -> Any:
    """Read an array from the bytes of its file; leave everything else."""
    if isinstance(value, bytes) and value.startswith(np.lib.format.MAGIC_PREFIX):
        return np.load(io.BytesIO(value), allow_pickle=False)
    return value
