"""Derivations a contract may name in `derive`: each fills one field where it is empty, and says from what."""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl
from edulake.common.gm import sm3_hex, tokenise_many
from edulake.common.standards import Derivation
from edulake.governance.steps import identity, names, text
from edulake.governance.steps.align import NAME_SEPARATOR, meanings, place_of
from edulake.governance.steps.context import Context, filled, mapping, raw

Derive = Callable[[pl.DataFrame, Derivation, Context], pl.DataFrame]
TEXT, CODE, NAMED = frozenset({"string"}), frozenset({"code"}), frozenset({"string", "code"})
DATE, TRUTH = frozenset({"date"}), frozenset({"boolean"})


class Derived(NamedTuple):
    """A derivation and what it takes: the types of the field it fills and of its inputs, in their order.

    The last `optional` inputs may be left out.
    """

    derive: Derive
    gives: frozenset[str]
    inputs: tuple[frozenset[str], ...]
    optional: int = 0


_STAGES = {
    "1": "幼儿园",
    "2": "小学",
    "3": "初级中学|初中",
    "4": "高级中学|高中",
}  # RKXDM: words of the stage


def fill(frame: pl.DataFrame, field: str, value: pl.Expr, source: str | pl.Expr) -> pl.DataFrame:
    """`value` where the field is empty, with its provenance."""
    origin = pl.lit(source) if isinstance(source, str) else source
    before = pl.col(filled(field)) if filled(field) in frame.columns else pl.lit(None, pl.String)
    takes = pl.col(field).is_null() & value.is_not_null()
    return frame.with_columns(
        pl.when(takes).then(value).otherwise(pl.col(field)).alias(field),
        pl.when(takes).then(origin).otherwise(before).alias(filled(field)),
    )


def _bracketed_names(frame: pl.DataFrame, derivation: Derivation, _context: Context) -> pl.DataFrame:
    """（原某某学校） becomes another name; names delivered as such are kept before it."""
    former = names.other_name(text.fold(pl.col(raw(derivation.inputs[0]))))
    both = pl.concat_str(pl.col(derivation.field), former, separator=NAME_SEPARATOR, ignore_nulls=True)
    joined = pl.when(former.is_not_null()).then(both)
    return frame.with_columns(
        pl.coalesce(joined, pl.col(derivation.field)).alias(derivation.field),
        pl.when(former.is_not_null())
        .then(pl.lit("derived:brackets in the name"))
        .alias(filled(derivation.field)),
    )


def _district_from_letters(frame: pl.DataFrame, derivation: Derivation, context: Context) -> pl.DataFrame:
    field = context.contract.field(derivation.field)
    table = context.standards.codes[field.code_table or ""]
    words = meanings(table, field.code_scope, context.received_on)
    word = pl.col(derivation.inputs[0]).str.to_uppercase()
    code = word.replace_strict(
        {w: table.forward(c, context.received_on) for w, c in words.items()},
        default=None,
        return_dtype=pl.String,
    )
    version = pl.lit(f"{table.name}@{table.version}")
    frame = frame.with_columns(
        pl.when(pl.col(derivation.field).is_null() & code.is_not_null())
        .then(version)
        .otherwise(pl.col(mapping(derivation.field)))
        .alias(mapping(derivation.field))
    )
    return fill(frame, derivation.field, code, f"derived:{derivation.inputs[0]}")


def _school_stage(frame: pl.DataFrame, derivation: Derivation, context: Context) -> pl.DataFrame:
    """Evidence in order: delivered, the kind, the source's title, the name.

    The title is stronger than the name: a school in a roster of junior schools has a junior section whatever
    it is called (仙霞高级中学 is a complete middle school). Where the two differ, `stage.disputed` says so.
    """
    kind, name = derivation.inputs
    by_kind = pl.when(pl.col(kind).is_not_null()).then(pl.lit("4"))
    frame = fill(frame, derivation.field, by_kind, f"derived:{kind}")
    frame = fill(
        frame, derivation.field, pl.lit(stage_in(context.source.title), pl.String), "derived:source title"
    )
    return fill(frame, derivation.field, stage_of_name(pl.col(name)), f"derived:{name}")


def stage_in(title: str) -> str | None:
    """The one stage a source's title speaks of; None where it speaks of none or of several."""
    if any(word in title for word in ("初高中", "中小学", "各学段")):
        return None
    found = {stage for stage, words in _STAGES.items() if any(word in title for word in words.split("|"))}
    return found.pop() if len(found) == 1 else None


def stage_of_name(name: pl.Expr) -> pl.Expr:
    """The stage a name ends with; null for 中学, 学校 and the like, which say nothing."""
    chain = pl.lit(None, pl.String)
    for stage, words in _STAGES.items():
        chain = pl.when(name.str.contains(rf"({words})(（[^）]*）)?$")).then(pl.lit(stage)).otherwise(chain)
    return chain


def _school_key(frame: pl.DataFrame, derivation: Derivation, context: Context) -> pl.DataFrame:
    """`S` and 16 hex digits of SM3 over district, stage and core name: the same in every roster."""
    district, stage, name = derivation.inputs
    place = place_of(context)
    whole = pl.concat_str(pl.col(district), pl.col(stage), place.core(pl.col(name)), separator="|")
    frame = frame.with_columns(whole.alias("_identity"))
    distinct = frame["_identity"].drop_nulls().unique()
    keys = pl.DataFrame(
        {"_identity": distinct, "_key": ["S" + sm3_hex(text.encode())[:16] for text in distinct]},
        schema={"_identity": pl.String, "_key": pl.String},
    )
    out = frame.join(keys, on="_identity", how="left", maintain_order="left")
    return out.with_columns(pl.col("_key").alias(derivation.field)).drop("_identity", "_key")


def _birth_from_identity(frame: pl.DataFrame, derivation: Derivation, _context: Context) -> pl.DataFrame:
    """The whole date where none, or only the month, was delivered."""
    by_number = identity.birth(_number(derivation))
    by_student_number = identity.birth_in(_student_number(derivation))
    month_only = pl.col(filled(derivation.field)) == "first_of_month"
    fits = pl.col(derivation.field) == pl.coalesce(by_number, by_student_number).dt.truncate("1mo")
    frame = frame.with_columns(
        pl.when(month_only & fits).then(None).otherwise(pl.col(derivation.field)).alias(derivation.field)
    )
    frame = fill(frame, derivation.field, by_number, "derived:identity_number")
    return fill(frame, derivation.field, by_student_number, "derived:student_number")


def _sex_from_identity(frame: pl.DataFrame, derivation: Derivation, _context: Context) -> pl.DataFrame:
    return fill(frame, derivation.field, identity.sex(_number(derivation)), "derived:identity_number")


def _number(derivation: Derivation) -> pl.Expr:
    """The valid identity number of the row, delivered or inside a G number."""
    delivered = pl.col(derivation.inputs[0])
    return pl.coalesce(
        pl.when(identity.is_valid(delivered)).then(delivered), identity.behind(_student_number(derivation))
    )


def _student_number(derivation: Derivation) -> pl.Expr:
    """Teachers and other grown-ups have none."""
    return pl.col(derivation.inputs[1]) if derivation.inputs[1:] else pl.lit(None, pl.String)


def _person_token(frame: pl.DataFrame, derivation: Derivation, context: Context) -> pl.DataFrame:
    """HMAC-SM3 of what identifies the person: joins across datasets, cannot be turned back."""
    both = identity.person(pl.col(derivation.inputs[0]), _student_number(derivation))
    person = frame.select(both.alias("person")).to_series()
    tokens = tokenise_many(context.rings.token, person.to_list(), "person")
    return frame.with_columns(pl.Series(derivation.field, tokens, dtype=pl.String))


def _under(age: Callable[[Context], int]) -> Derive:
    def derive(frame: pl.DataFrame, derivation: Derivation, context: Context) -> pl.DataFrame:
        """On the day of receipt; an unknown birth date counts as under (fail closed)."""
        years = identity.age_on(pl.col(derivation.inputs[0]), pl.lit(context.received_on))
        return frame.with_columns((years < age(context)).fill_null(True).alias(derivation.field))

    return derive


DERIVATIONS: dict[str, Derived] = {
    "bracketed_names": Derived(_bracketed_names, TEXT, (TEXT,)),
    "district_from_letters": Derived(_district_from_letters, CODE, (NAMED,)),
    "school_stage": Derived(_school_stage, CODE, (NAMED, TEXT)),
    "school_key": Derived(_school_key, TEXT, (NAMED, NAMED, TEXT)),
    "birth_from_identity": Derived(_birth_from_identity, DATE, (TEXT, TEXT), optional=1),
    "sex_from_identity": Derived(_sex_from_identity, CODE, (TEXT, TEXT), optional=1),
    "person_token": Derived(_person_token, TEXT, (TEXT, TEXT), optional=1),
    "under_minor_age": Derived(_under(lambda context: context.standards.grading.minor_age), TRUTH, (DATE,)),
    "under_consent_age": Derived(
        _under(lambda context: context.standards.grading.consent_age), TRUTH, (DATE,)
    ),
}
