"""Frames as the lake stores them: column types that survive a round trip, a digest of the content. Pure functions."""

from collections.abc import Mapping

import polars as pl
from edulake.common.gm import Sm3, sm3, sm3_hex
from edulake.common.lake.manifest import Part

SLICE_ROWS = 50_000


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in the types Delta keeps: text, Int64, Float64, Decimal, Boolean, Date, UTC datetimes, bytes.

    Raises TypeError naming a column of another type (nested ones belong into JSON text) and for a
    datetime without a zone.
    """
    return frame.select(_storable(name, kind) for name, kind in frame.schema.items())


def _storable(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.String | pl.Boolean | pl.Date | pl.Binary | pl.Decimal):
        return column
    if kind.is_integer():
        return column.cast(pl.Int64)
    if kind.is_float():
        return column.cast(pl.Float64)
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Null):
        return column.cast(pl.String)
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    raise TypeError(f"column {name!r} of type {kind} cannot be stored in the lake")


def content_digest(frame: pl.DataFrame) -> str:
    """SM3 (hex) of the rows as a set of equal standing: row order, column order and columns without any
    value do not count; names, kinds and values do. Memory: 33 bytes a row and one slice.

    A cell is `-` when null, else `<length in bytes>:<text>`; a row is its cells in the order of the
    column names; the digest is taken over the sorted SM3 digests of the rows.
    """
    frame = storable(frame)
    names = sorted(column.name for column in frame if column.null_count() < frame.height)
    total = Sm3("|".join(f"{name}:{_kind(frame.schema[name])}" for name in names).encode())
    total.update(f"|{frame.height}|".encode())
    rows: list[bytes] = []
    row = pl.concat_str([_cell(name, frame.schema[name]) for name in names] or [pl.lit("")])
    for piece in frame.iter_slices(SLICE_ROWS):
        rows.extend(map(sm3, piece.select(row.cast(pl.Binary).alias("row"))["row"]))
    rows.sort()
    total.update(b"".join(rows))
    return total.digest().hex()


def _kind(kind: pl.DataType) -> str:
    return type(kind).__name__.lower()


def _cell(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Binary):
        column = column.bin.encode("hex")
    elif isinstance(kind, pl.Datetime):
        column = column.dt.epoch("us")
    text = column.cast(pl.String)
    sized = pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text)
    return pl.when(text.is_null()).then(pl.lit("-")).otherwise(sized)


def parts_digest(parts: Mapping[str, Part]) -> str:
    """The digest of a partitioned table from those of its partitions."""
    return sm3_hex(
        "\n".join(f"{key}|{part['digest']}|{part['rows']}" for key, part in sorted(parts.items())).encode()
    )
