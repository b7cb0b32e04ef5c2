"""What a rule of each kind needs to be a rule at all: words, and fields of a type it can look at."""

from dataclasses import dataclass

TEXT = frozenset({"string", "code"})
NUMBER = frozenset({"integer", "decimal"})
DATE = frozenset({"date"})
CODE = frozenset({"code"})
ANY = TEXT | NUMBER | DATE | {"boolean"}
#: Words of a rule that only some kinds know.
WORDS = ("pattern", "min", "max", "with_field", "allow")


@dataclass(frozen=True)
class Needs:
    """`words` must all be said, of `one_of` at least one, `may` be said; any other word would never be read.

    `link`: the field must be what a link of the contract fills (`field`) or looks by (`code`).
    """

    types: frozenset[str] = ANY
    words: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    with_types: frozenset[str] = ANY
    link: str = ""


_BOUNDS = ("min", "max")
_OTHER = ("with_field",)
RULE_NEEDS: dict[str, Needs] = {
    "not_heading": Needs(),
    "not_total": Needs(),
    "not_subtotal": Needs(),
    "regex": Needs(TEXT, words=("pattern",)),
    "length": Needs(TEXT, one_of=_BOUNDS),
    "range": Needs(NUMBER, one_of=_BOUNDS),
    "type": Needs(),
    "code": Needs(CODE),
    "rounded": Needs(),
    "mended": Needs(TEXT),
    "forwarded": Needs(CODE),
    "code_agrees": Needs(CODE, words=_OTHER, with_types=TEXT),
    "not_in": Needs(TEXT, words=("allow",)),
    "identity_check": Needs(TEXT, may=_OTHER, with_types=TEXT),
    "other_identity": Needs(TEXT, words=_OTHER, with_types=TEXT),
    "identity_area": Needs(TEXT, may=("allow",)),
    "identity_prefix": Needs(TEXT, words=("allow",)),
    "credit_code": Needs(TEXT),
    "student_number": Needs(TEXT),
    "student_number_agrees": Needs(TEXT, words=_OTHER, with_types=TEXT),
    "birth_agrees": Needs(DATE, words=_OTHER, with_types=TEXT),
    "sex_agrees": Needs(TEXT, words=_OTHER, with_types=TEXT),
    "required": Needs(),
    "required_any": Needs(words=_OTHER),
    "linked": Needs(may=_OTHER, link="field"),
    "ambiguous": Needs(may=_OTHER, link="field"),
    "link_agrees": Needs(may=_OTHER, link="code"),
    "age": Needs(DATE, one_of=_BOUNDS),
    "disputed": Needs(CODE),
    "one_value_per_key": Needs(words=_OTHER),
    "one_key_per_value": Needs(words=_OTHER),
    "unique": Needs(),
    "near_link": Needs(may=(*_OTHER, "min"), link="field"),
    "near_name": Needs(TEXT, may=(*_OTHER, "min"), with_types=TEXT),
}
