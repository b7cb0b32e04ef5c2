"""What every step gets and gives, and the names of the columns they speak through.

A frame on its way has `_row` (1-based row of the delivery), one column per contract field, and beside it:
`raw:<header>` every delivered column untouched, `_shape` where a row had another width than the header,
`_<field>_raw` the text a field came from, `_<field>_filled` where a value that was not delivered came from,
`_<field>_mapping` which table version mapped it, `_<field>_several` that a link fits more than one row, and
`_noise` rows that no rule looks at (headings, totals, shifted ones), `_bad` rows that failed an error rule.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NewType

import polars as pl
from edulake.common.gm import KeyRing
from edulake.common.mask import shape
from edulake.common.standards import Contract, FieldContract, Standards
from edulake.common.standards.headers import labels
from edulake.governance.steps.text import fold, squeeze

ROW = "_row"
#: How a row of another width than the header came, as ingest marks it: JSON {expected, found, extra: [cells]}.
SHAPE = "_shape"
#: Columns of a delivery that its source did not send.
META = (ROW, SHAPE)
ROW_KEY = "_row_key"
NOISE = "_noise"
BAD = "_bad"
RAW_PREFIX = "raw:"
#: The highest level whose code words may be told, and that a column may have that nobody declared.
OPEN_LEVEL = 2
#: What may be stored and told of a delivered value; only `shown` makes it.
Shown = NewType("Shown", pl.Expr)

FINDING_SCHEMA: dict[str, type[pl.DataType]] = {
    ROW: pl.Int64,  # null: the finding is about a column or the whole delivery
    "rule_id": pl.String,
    "field": pl.String,
    "severity": pl.String,
    "dimension": pl.String,
    "reason_zh": pl.String,
    "reason_en": pl.String,
    "value_masked": pl.String,
}


def raw(field_name: str) -> str:
    """The column with the text the field was read from."""
    return f"_{field_name}_raw"


def filled(field_name: str) -> str:
    """The column that says where a value that was not delivered came from; null where it was delivered."""
    return f"_{field_name}_filled"


def mapping(field_name: str) -> str:
    """The column that says by which version of which table the value was mapped."""
    return f"_{field_name}_mapping"


@dataclass(frozen=True)
class SourceFacts:
    """Who delivered, and what its steward said about its files."""

    id: str
    title: str
    authority: int = 0
    mapping: Mapping[str, str] = field(default_factory=dict)  # header as delivered -> field
    defaults: Mapping[str, str] = field(default_factory=dict)  # field -> value where none is delivered
    organisation: str = ""


@dataclass(frozen=True)
class KeyRings:
    """The two rings a step may use: `seal` for originals, `token` for joinable one-way tokens."""

    seal: KeyRing
    token: KeyRing


@dataclass(frozen=True)
class Context:
    """Everything a step may know besides the frame. `aliases`: confirmed names, columns `alias`, `key`."""

    contract: Contract
    standards: Standards
    source: SourceFacts
    batch_id: str
    period: str
    received_on: date
    rings: KeyRings
    references: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    aliases: pl.DataFrame | None = None
    previous_profile: Mapping[str, Any] | None = None

    def labels(self, delivered: Sequence[str]) -> dict[str, str]:
        """delivered header → what may be told of it; `delivered`: all headers in their order."""
        others = (c for c in self.standards.datasets.values() if c.name != self.contract.name)
        return labels(delivered, [*others, self.contract], self.source.mapping)


@dataclass(frozen=True)
class StepResult:
    """The frame after a step, its findings (frames of FINDING_SCHEMA), and notes for the report.

    Notes understood by the outcome: `rules` (list of rule records), `profile`, `column_levels`,
    `blocked` (a reason, zh / en). A step may drop a row only if one of its findings names the row.
    """

    frame: pl.DataFrame
    findings: list[pl.DataFrame] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step of the list in `pipeline.py`."""

    name: str
    title_zh: str
    run: Callable[[pl.DataFrame, Context], StepResult]


def no_findings() -> pl.DataFrame:
    """An empty frame of findings."""
    return pl.DataFrame(schema=FINDING_SCHEMA)


def finding(
    rows: pl.DataFrame | Iterable[int | None],
    *,
    rule_id: str,
    field_name: str,
    severity: str,
    dimension: str,
    zh: str | pl.Expr,
    en: str | pl.Expr,
    value: Shown | None = None,
) -> pl.DataFrame:
    """One finding for each of `rows` (a frame with `_row`, or row numbers; None = the delivery)."""
    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame({ROW: list(rows)}, {ROW: pl.Int64})
    texts = {"rule_id": rule_id, "field": field_name, "severity": severity, "dimension": dimension}
    told = value if value is not None else pl.lit(None, pl.String)
    return frame.select(
        pl.col(ROW).cast(pl.Int64),
        *(pl.lit(text).alias(name) for name, text in texts.items()),
        (pl.lit(zh) if isinstance(zh, str) else zh).alias("reason_zh"),
        (pl.lit(en) if isinstance(en, str) else en).alias("reason_en"),
        told.alias("value_masked"),
    )


def shown(field: FieldContract, value: pl.Expr, context: Context) -> Shown:
    """A word of the field's own code table, as the table writes it; of anything else only its shape.

    What is not in the code table is by definition not what the field's level was given for: a name may stand there.
    """
    said = shape.expression(value)
    if field.code_table is None or field.level > OPEN_LEVEL:
        return Shown(said)
    rows = context.standards.codes[field.code_table].rows
    words = {
        word.replace(" ", "").upper(): row.name for row in rows for word in (*row.aliases, row.name, row.code)
    }
    word = squeeze(fold(value.cast(pl.String))).str.to_uppercase()
    return Shown(pl.coalesce(word.replace_strict(words, default=None, return_dtype=pl.String), said))
