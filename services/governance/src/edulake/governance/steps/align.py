"""对齐 align: words become codes that are in force, names and codes become references to governed rows.

The text as delivered, the standard code and the version of the table that mapped it are all kept. A name is
matched exactly: by code, by whole name, by core name inside its district, by a confirmed alias, by another
name of the school. Where several schools fit, the stage may tell them apart; else none is taken, and that is said.
"""

from datetime import date

import polars as pl
from edulake.common.standards import CodeRow, CodeTable, FieldContract, Link
from edulake.governance.steps import text
from edulake.governance.steps.context import ROW, Context, StepResult, filled, mapping, raw
from edulake.governance.steps.names import Place

NAME_SEPARATOR = "；"


def align(frame: pl.DataFrame, context: Context) -> StepResult:
    """Code fields → codes in force on the day of receipt; linked fields → keys of the references."""
    coded = [field for field in context.contract.fields if field.type == "code"]
    for field in coded:
        frame = _code(frame, field, context)
    place = place_of(context)
    for link in context.contract.links:
        frame = _link(frame, link, context, place)
    return StepResult(frame)


def place_of(context: Context) -> Place:
    """The city this contract is about: the scope of its region field."""
    regions = [f for f in context.contract.fields if f.code_table == "gbt2260"]
    scope = next((f.code_scope for f in regions if f.code_scope), "31")
    return Place.of(context.standards.codes["gbt2260"], scope)


def _code(frame: pl.DataFrame, field: FieldContract, context: Context) -> pl.DataFrame:
    table = context.standards.codes[field.code_table or ""]
    words = meanings(table, field.code_scope, context.received_on)
    found = {word: table.forward(code, context.received_on) for word, code in words.items()}
    version = f"{table.name}@{table.version}"
    notes = {
        word: version + (f";{code}>{found[word]}" if code != found[word] else "")
        for word, code in words.items()
    }
    word = text.squeeze(text.fold(pl.col(raw(field.name)))).str.to_uppercase()
    return frame.with_columns(
        word.replace_strict(found, default=None, return_dtype=pl.String).alias(field.name),
        word.replace_strict(notes, default=None, return_dtype=pl.String).alias(mapping(field.name)),
    )


def meanings(table: CodeTable, scope: str | None, day: date) -> dict[str, str]:
    """Every word that means exactly one code: the code itself, its name, its aliases (upper case).

    A code in force on `day` is preferred to a retired one of the same name; two in force cancel out.
    """
    rows = [row for row in table.rows if row.code.startswith(scope or "")]
    in_force = [row for row in rows if row.valid_on(day)]
    retired = [row for row in rows if not row.valid_on(day)]
    codes = {row.code.upper(): row.code for row in rows}
    return {**_unambiguous(table, retired, day), **_unambiguous(table, in_force, day), **codes}


def _unambiguous(table: CodeTable, rows: list[CodeRow], day: date) -> dict[str, str]:
    """Words whose codes all stand for one code that day; of several the latest is taken (崇明县 had two)."""
    meaning: dict[str, list[CodeRow]] = {}
    for row in rows:
        for word in {row.name, *row.aliases}:
            meaning.setdefault(word.replace(" ", "").upper(), []).append(row)
    return {
        word: max(known, key=lambda row: (row.valid_until or date.min, row.code)).code
        for word, known in meaning.items()
        if len({table.forward(row.code, day) for row in known}) == 1
    }


def _link(frame: pl.DataFrame, link: Link, context: Context, place: Place) -> pl.DataFrame:
    """Add the key of the referenced row, how it was found, the key its name alone gives, and `_<field>_several`:
    the row has no key because more than one answers."""
    target = referenced(link, context, place)
    work = frame.select(ROW, *_search_columns(frame, link, place), *_narrowing(link, context))
    finer = sorted(link.narrow.values())
    ways: tuple[tuple[list[str], pl.DataFrame, str, list[str]], ...] = (
        (["code"], target, "code", finer),
        (["full"], target, "name", finer),
        (["core", "region"], target, "core_name", finer),
        (["core"], target, "core_name", finer),
        (["core"], _confirmed(context, place), "confirmed_alias", []),
        (["core", "region"], _other_names(target, place, finer), "other_name", finer),
        (["core"], _other_names(target, place, finer), "other_name", finer),
    )
    for number, (on, source, _, narrow) in enumerate(ways):
        answer = _lookup(work, source, on, narrow, f"way{number}")
        work = work.join(answer, on=ROW, how="left", maintain_order="left")
    keys = [f"way{number}" for number in range(len(ways))]
    how = [pl.when(pl.col(c).is_not_null()).then(pl.lit(w[2])) for c, w in zip(keys, ways, strict=True)]
    key = pl.coalesce(keys)
    several = pl.any_horizontal(pl.col(f"{c}_several").fill_null(False) for c in keys)
    found = work.select(
        ROW,
        key.alias(link.field),
        pl.coalesce(keys[1:]).alias(f"_{link.field}_by_name"),
        (key.is_null() & several).alias(f"_{link.field}_several"),
        (pl.lit(f"{link.reference}:") + pl.coalesce(how)).alias(filled(link.field)),
    )
    return frame.drop(link.field).join(found, on=ROW, how="left", maintain_order="left")


def _narrowing(link: Link, context: Context) -> list[pl.Expr]:
    """The parents of our codes, under the names of the reference's columns they are compared to."""
    expressions = []
    for name, column in link.narrow.items():
        table = context.standards.codes[context.contract.field(name).code_table or ""]
        parents = {row.code: row.parent for row in table.rows}
        parent = pl.col(name).replace_strict(parents, default=None, return_dtype=pl.String)
        expressions.append(parent.alias(column))
    return expressions


def referenced(link: Link, context: Context, place: Place) -> pl.DataFrame:
    """The rows a link may point to: key, code, full, core, region, others, and what narrows (all text)."""
    columns = ("key", "code", "full", "name", "region", "others", *link.narrow.values())
    frame = context.references.get(link.reference)
    if frame is None or frame.is_empty():
        return pl.DataFrame(schema={**dict.fromkeys(columns, pl.String), "core": pl.String})
    for column, allowed in link.where.items():
        frame = frame.filter(pl.col(column).is_in(list(allowed)))
    wanted = {
        "key": link.key,
        "code": link.reference_code,
        "name": link.reference_name,
        "region": "district_code",
        **{column: column for column in link.narrow.values()},
    }
    has = [pl.col(c).cast(pl.String).alias(n) for n, c in wanted.items() if c in frame.columns]
    lists = [pl.col(c).fill_null("") for c in ("other_names", "short_name") if c in frame.columns]
    others = pl.concat_str(lists, separator=NAME_SEPARATOR) if lists else pl.lit("")
    out = frame.select(*has, others.alias("others"))
    optional = ("code", "region", *link.narrow.values())
    missing = [pl.lit(None, pl.String).alias(c) for c in optional if c not in out.columns]
    return out.with_columns(
        *missing, place.core(pl.col("name")).alias("core"), full(pl.col("name")).alias("full")
    )


def full(name: pl.Expr) -> pl.Expr:
    """A whole name for comparison: folded, without spaces."""
    return text.squeeze(name.str.normalize("NFKC")).str.to_uppercase()


def _search_columns(frame: pl.DataFrame, link: Link, place: Place) -> list[pl.Expr]:
    null = pl.lit(None, pl.String)
    name = pl.col(link.name) if link.name else null
    region = pl.col(link.region) if link.region else null
    return [
        (pl.col(link.code) if link.code else null).alias("code"),
        full(name).alias("full"),
        place.core(name).alias("core"),
        pl.coalesce(region, place.region_of(name)).alias("region"),
    ]


def _lookup(
    work: pl.DataFrame, target: pl.DataFrame, on: list[str], narrow: list[str], name: str
) -> pl.DataFrame:
    """`_row`, the key found, and whether several fit. Where several do, `narrow` columns may leave one."""
    asked = target.filter(pl.all_horizontal(pl.col(on).is_not_null()))
    answers = asked.group_by(on).agg(pl.col("key").unique())
    is_single = pl.col("key").list.len() == 1
    key = pl.when(is_single).then(pl.col("key").list.first()).alias(name)
    found = work.select(ROW, *on, *narrow).join(
        answers.select(*on, key, (~is_single).alias(f"{name}_several")), on=on, how="inner"
    )
    if narrow:
        finer = asked.group_by(*on, *narrow).agg(pl.col("key").unique()).filter(is_single)
        finer = finer.select(*on, *narrow, pl.col("key").list.first().alias("finer"))
        found = found.join(finer, on=[*on, *narrow], how="left").with_columns(
            pl.coalesce(name, "finer").alias(name)
        )
    return found.select(ROW, name, f"{name}_several")


def _confirmed(context: Context, place: Place) -> pl.DataFrame:
    aliases = context.aliases
    if aliases is None or aliases.is_empty():
        return pl.DataFrame(schema={"key": pl.String, "core": pl.String})
    return aliases.select("key", place.core(pl.col("alias")).alias("core"))


def _other_names(target: pl.DataFrame, place: Place, narrow: list[str]) -> pl.DataFrame:
    split = target.with_columns(pl.col("others").str.split(NAME_SEPARATOR)).explode(
        "others", empty_as_null=True
    )
    return split.filter(pl.col("others").str.len_chars() >= 3).select(
        "key", "region", *narrow, place.core(pl.col("others")).alias("core")
    )
