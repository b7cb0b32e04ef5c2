"""加密/脱敏 protect: from here on there is nothing in the clear that the contract does not keep.

Per field: share form (mask, generalise, hide), token (HMAC-SM3, joinable), sealed original (SM4-GCM). People
under the age of consent get the stricter share form; an unknown age counts as under it. Sealing names its
place, `dataset|field|row key`, so that a sealed value cannot be moved to another row.
"""

import polars as pl
from edulake.common.gm import seal_many, tokenise_many
from edulake.common.mask import transform
from edulake.common.standards import FieldContract
from edulake.governance.steps.align import meanings
from edulake.governance.steps.context import BAD, ROW, ROW_KEY, Context, StepResult, filled, mapping, raw
from edulake.governance.steps.text import squeeze

_UNDER_CONSENT = "is_under_consent_age"
PERIOD, REGION, FILLED = "_period", "_region", "_filled"


def protect(frame: pl.DataFrame, context: Context) -> StepResult:
    """Sound rows in governed columns; rows that failed keep `_row` and `_bad` and lose every value."""
    sound = frame.filter(~pl.col(BAD))
    columns: list[pl.Expr | pl.Series] = [pl.col(ROW), pl.col(ROW_KEY), pl.col(BAD)]
    for field in context.contract.fields:
        columns += _forms(sound, field, context)
    columns += [*_evidence(sound, context), *_axes(context), _filled(sound, context)]
    governed = sound.select(columns)
    rest = frame.filter(pl.col(BAD)).select(ROW, BAD)
    return StepResult(pl.concat([governed, rest], how="diagonal").sort(ROW))


def _forms(frame: pl.DataFrame, field: FieldContract, context: Context) -> list[pl.Expr | pl.Series]:
    """The governed columns of one field: share form, token, sealed original."""
    forms: list[pl.Expr | pl.Series] = []
    if field.served:
        forms.append(_share(frame, field).alias(field.name))
    if not (field.protect.token or field.protect.seal):
        return forms
    originals = frame[field.name].cast(pl.String).to_list()
    if field.protect.token:
        tokens = tokenise_many(context.rings.token, originals, field.name)
        forms.append(pl.Series(f"{field.name}_token", tokens, dtype=pl.String))
    if field.protect.seal:
        places = [f"{context.contract.name}|{field.name}|{key}".encode() for key in frame[ROW_KEY].to_list()]
        sealed = seal_many(context.rings.seal, originals, places)
        forms.append(pl.Series(f"{field.name}_sealed", sealed, dtype=pl.String))
    return forms


def _share(frame: pl.DataFrame, field: FieldContract) -> pl.Expr:
    if field.protect.share == "keep":
        return pl.col(field.name)
    share = transform(field.protect.share).expression(field.name)
    if field.protect.minor is None:
        return share
    stricter = transform(field.protect.minor).expression(field.name)
    if _UNDER_CONSENT not in frame.columns:
        return stricter
    return pl.when(pl.col(_UNDER_CONSENT).fill_null(True)).then(stricter).otherwise(share)


def _evidence(frame: pl.DataFrame, context: Context) -> list[pl.Expr]:
    """The word of the code table that was delivered for the region, and the table's version; no other text."""
    region = context.contract.region_from
    if region is None or context.contract.field(region).level > 2 or mapping(region) not in frame.columns:
        return []
    field = context.contract.field(region)
    words = meanings(context.standards.codes[field.code_table or ""], field.code_scope, context.received_on)
    delivered = pl.col(raw(region))
    is_word = squeeze(delivered).str.to_uppercase().is_in(sorted(words))
    return [pl.when(is_word).then(delivered).alias(raw(region)), pl.col(mapping(region))]


def _axes(context: Context) -> list[pl.Expr]:
    origin, region = context.contract.time.origin, context.contract.region_from
    period = pl.lit(context.period) if origin == "period" else pl.col(origin).cast(pl.String)
    return [period.alias(PERIOD), (pl.col(region) if region else pl.lit(None, pl.String)).alias(REGION)]


def _filled(frame: pl.DataFrame, context: Context) -> pl.Expr:
    """JSON `{field: where its value came from}`, null where everything was delivered."""
    named = [f.name for f in context.contract.fields if filled(f.name) in frame.columns]
    parts = [
        pl.when(pl.col(name).is_not_null() & pl.col(filled(name)).is_not_null()).then(
            pl.format('"{}":"{}"', pl.lit(name), pl.col(filled(name)).str.replace_all(r'["\\\x00-\x1f]', ""))
        )
        for name in named
    ]
    if not parts:
        return pl.lit(None, pl.String).alias(FILLED)
    inner = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return pl.when(inner != "").then(pl.concat_str(pl.lit("{"), inner, pl.lit("}"))).alias(FILLED)
