"""A governed frame becomes the rows of a serving table. Pure: no database, no lake.

Promise P8: only fields whose protection the contract declares get through, and only in the form the
protection leaves behind. Whatever does not look protected stops the whole publication, with a reason.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import polars as pl
from edulake.common.mask import HIDDEN, TRANSFORMS
from edulake.common.standards import Contract, FieldContract
from edulake.share_gateway.engine.definition import SqlType
from edulake.share_gateway.engine.serving import NUMBER, REGION, served_columns

COPY_ROWS = 20_000
#: How the COPY writes NULL; text is always quoted, so no text can be taken for it.
NULL = "\\N"
ROW_KEY = "_row_key"
KINDS: Final[Mapping[SqlType, pl.DataType]] = {
    "text": pl.String(),
    "bigint": pl.Int64(),
    "numeric": pl.String(),  # Postgres reads the digits; no float comes between
    "date": pl.Date(),
    "boolean": pl.Boolean(),
}


class NotPublishable(Exception):
    """The version must not be served; retrying does not help. The reason holds no value of a row."""

    def __init__(self, reason_zh: str, reason_en: str) -> None:
        super().__init__(reason_en)
        self.reason_zh = reason_zh
        self.reason_en = reason_en


def check_level(found: int, contract: Contract) -> None:
    """NotPublishable when the data were graded above what the contract declares and protects."""
    if found > contract.level:
        raise NotPublishable(
            f"数据被定为 {found} 级，高于标准声明的 {contract.level} 级，须先修订标准",
            f"graded level {found}, above the declared {contract.level}: amend the contract first",
        )


def check_protected(frame: pl.DataFrame, contract: Contract) -> None:
    """NotPublishable naming the fields that hold a value which is not of its protected form.

    A mask leaves a value it made as it is, so a value that the field's transform (or the stricter one for
    children) would still change was never masked.
    """
    fields = [f for f in contract.served_fields if f.protect.share != "keep" and f.name in frame.columns]
    counts = frame.select(_unprotected(field).sum().alias(field.name) for field in fields) if fields else None
    bare = (
        [name for name, count in zip(counts.columns, counts.row(0), strict=True) if count]
        if counts is not None
        else []
    )
    if bare:
        raise NotPublishable(
            f"字段未按标准脱敏：{'、'.join(bare)}",
            f"not protected as the contract declares: {', '.join(bare)}",
        )


def _unprotected(field: FieldContract) -> pl.Expr:
    column = pl.col(field.name).cast(pl.String)
    fits = column.is_null() | (column == HIDDEN)
    for name in filter(None, (field.protect.share, field.protect.minor)):
        transform = TRANSFORMS.get(name)
        if transform is None:
            raise NotPublishable(
                f"字段 {field.name} 的脱敏方式 {name} 不存在", f"{field.name}: no transform {name}"
            )
        fits = fits | (transform.expression(column) == column)
    return ~fits


def serving_rows(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The rows to be copied: `_n`, `_region`, then the served columns, in the order of `_n` (1, 2, 3 …).

    A served field that no source delivered is NULL in every row. NotPublishable names a field whose values
    do not have the declared type.
    """
    columns = served_columns(contract)
    rows = frame.select(
        _region(frame, contract).alias(REGION),
        pl.Series("_order", _hashes(frame, contract), dtype=pl.Binary),
        *(pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in columns),
    ).sort("_order")
    typed = [_typed(rows[name], sql_type) for name, sql_type in columns.items()]
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64, eager=False).alias(NUMBER)
    return rows.select(number, REGION).with_columns(typed)


def _region(frame: pl.DataFrame, contract: Contract) -> pl.Expr:
    """The district of a row; without one, no grant that is limited to districts reaches the row."""
    for name in (REGION, contract.region_from):
        if name and name in frame.columns:
            return pl.col(name).cast(pl.String)
    return pl.lit(None, pl.String)


def _hashes(frame: pl.DataFrame, contract: Contract) -> list[bytes]:
    """A hash of each row's key: an order that says nothing about any value."""
    names = (
        [ROW_KEY] if ROW_KEY in frame.columns else [k for k in contract.business_key if k in frame.columns]
    )
    if not names:
        raise NotPublishable("数据缺少业务主键", "the rows have no business key")
    key = pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in names], separator="\x1f")
    return [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in frame.select(key).to_series()]


def _typed(column: pl.Series, sql_type: SqlType) -> pl.Series:
    try:
        return column.cast(KINDS[sql_type], strict=True)
    except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
        raise NotPublishable(
            f"字段 {column.name} 的值不是 {sql_type}", f"{column.name} holds values that are not {sql_type}"
        ) from None


def copy_chunks(rows: pl.DataFrame) -> Iterator[bytes]:
    """The rows as CSV for COPY, a bounded piece at a time."""
    for piece in rows.iter_slices(COPY_ROWS):
        yield piece.write_csv(include_header=False, quote_style="non_numeric", null_value=NULL).encode()
