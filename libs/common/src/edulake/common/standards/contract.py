"""A dataset's contract as data: fields, keys, links, derivations and rules, read from one YAML file."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
FieldType = Literal["string", "integer", "decimal", "date", "boolean", "code"]
Dimension = Literal["完整性", "规范性", "准确性", "一致性", "唯一性", "时效性"]


class Record(BaseModel):
    """Base of everything read from `standards/`: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Protect(Record):
    """How a field may leave: `share` is a transform of `common.mask`, or `keep`, or `drop` (not served)."""

    share: Text
    token: bool = False
    seal: bool = False
    minor: Text | None = None  # the stricter transform for people under the age of consent

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return {"share": value} if isinstance(value, str) else value


class FieldContract(Record):
    """One field: its meaning, level, the headers it is delivered under, and how it is protected."""

    name: Identifier
    title: Text
    title_en: str = ""
    element: str = ""  # data element of JY/T 1004 where there is one
    type: FieldType = "string"
    code_table: str | None = None
    code_scope: str | None = None  # codes must start so; names are looked up only among these
    level: int = Field(ge=1, le=5)
    category: str = ""
    identifies: Literal["none", "organisation", "person", "minor"] = "none"
    required: bool = False
    protect: Protect
    aliases: tuple[Text, ...] = ()
    normalise: str | None = None
    filterable: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.type == "code") != (self.code_table is not None):
            raise ValueError(f"field {self.name}: type code and code_table belong together")
        if self.level >= 3 and "keep" in (self.protect.share, self.protect.minor):
            raise ValueError(f"field {self.name}: level {self.level} must not be kept in the clear")
        return self

    @property
    def served(self) -> bool:
        """Whether the share form of the field exists in the governed and the serving table."""
        return self.protect.share != "drop"

    @property
    def served_type(self) -> FieldType:
        """The type of the share form: a transformed value is text whatever it was before."""
        return self.type if self.protect.share == "keep" else "string"

    @property
    def governed_columns(self) -> tuple[str, ...]:
        """`f` (share form), `f_token` (joinable), `f_sealed` (opened by two people only)."""
        names = ((self.served, ""), (self.protect.token, "_token"), (self.protect.seal, "_sealed"))
        return tuple(self.name + suffix for wanted, suffix in names if wanted)


class Derivation(Record):
    """`field` is computed by the named derivation of governance out of other fields."""

    field: Identifier
    by: Identifier
    inputs: tuple[Identifier, ...] = Field(default=(), alias="from")


class Reference(Record):
    """Another governed dataset, given to the steps under the alias `as`."""

    dataset: Identifier
    alias: Identifier = Field(alias="as")


class Link(Record):
    """`field` receives `key` of the referenced row found by code, name or alias (in that order)."""

    field: Identifier
    reference: Identifier
    key: Identifier
    code: Identifier | None = None
    name: Identifier | None = None
    region: Identifier | None = None
    reference_code: Identifier
    reference_name: Identifier
    where: dict[Identifier, tuple[str, ...]] = {}
    #: our code field -> column of the reference: of several that fit, the one that equals our code's parent
    narrow: dict[Identifier, Identifier] = {}
    fill: dict[Identifier, Identifier] = {}  # our field -> column of the reference, only where ours is empty


class Reshape(Record):
    """One record delivered as several rows, a `label` and a `value` each: `words` names the field of a label.

    The labels of a record must come in this order, all of them, one row after the other; "" drops the value.
    """

    label: Identifier
    value: Identifier
    words: dict[Text, str] = Field(min_length=2)


class Rule(Record):
    """One quality rule. `error` sends the row to quarantine, `warning` is only a finding."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")]
    kind: Identifier
    field: Identifier
    severity: Literal["error", "warning"]
    dimension: Dimension
    title: Text
    title_en: str = ""
    pattern: str | None = None
    min: float | None = None
    max: float | None = None
    with_field: Identifier | None = None
    allow: tuple[str, ...] = ()


class Owner(Record):
    """Who answers for the dataset."""

    organisation: Text
    contact: Text

    def includes(self, names: Collection[str | None], organisation: str | None) -> bool:
        """Whether somebody of these ids (their own, of whom they act for) and organisation answers for it."""
        return organisation == self.organisation or self.contact in names


class TimeAxis(Record):
    """Where the time of a row comes from: the batch's period, or a field."""

    kind: Literal["batch", "occurred", "school_year", "lifecycle"]
    origin: Identifier = Field(alias="from")


class Completeness(Record):
    """How much a delivery may lack of what it replaces before a person must agree; shares of 0 to 1.

    `rows_lost_max`: of the rows (and keys) replaced; `values_lost_max`: of one column's filled values.
    """

    rows_lost_max: float = Field(default=0.2, ge=0, le=1)
    values_lost_max: float = Field(default=0.2, ge=0, le=1)


class Contract(Record):
    """A dataset: what it is, who owns it, how it may be shared, and everything a row must satisfy."""

    name: Identifier
    title: Text
    title_en: str = ""
    domain: Identifier
    theme: Text
    owner: Owner
    summary: Text
    authoritative_for: tuple[Identifier, ...] = ()
    business_key: tuple[Identifier, ...] = Field(min_length=1)
    time: TimeAxis
    region_from: Identifier | None = None
    update_cycle: Literal[
        "实时", "每日", "每周", "每旬", "每月", "每季度", "每学期", "每半年", "每年", "不定期"
    ]
    retention_years: int = Field(ge=1)
    share_type: Literal["无条件共享", "有条件共享", "不予共享"]
    share_condition: Text
    open_type: Literal["无条件开放", "有条件开放", "非开放"]
    freshness_days: int = Field(ge=1)
    threshold: float = Field(ge=0, le=1)
    completeness: Completeness = Completeness()
    fields: tuple[FieldContract, ...] = Field(min_length=1)
    reshape: Reshape | None = None
    derive: tuple[Derivation, ...] = ()
    links: tuple[Link, ...] = ()
    rules: tuple[Rule, ...] = ()
    references: tuple[Reference, ...] = ()

    @model_validator(mode="after")
    def _closed(self) -> Self:
        """Every name used in the contract is declared in it, once."""
        _once("field", [f.name for f in self.fields])
        _once("rule", [r.id for r in self.rules])
        _once("header alias", [alias for f in self.fields for alias in f.aliases])
        names = {f.name for f in self.fields}
        used = {*self.authoritative_for, *self.business_key, *(r.field for r in self.rules)}
        used |= {r.with_field for r in self.rules if r.with_field}
        used |= {name for d in self.derive for name in (d.field, *d.inputs)}
        for link in self.links:
            used |= {
                link.field,
                *link.fill,
                *link.narrow,
                *(n for n in (link.code, link.name, link.region) if n),
            }
        used |= {self.region_from} if self.region_from else set()
        used |= {self.time.origin} - {"period"}
        if self.reshape:
            used |= {self.reshape.label, self.reshape.value, *filter(None, self.reshape.words.values())}
        if unknown := sorted(used - names):
            raise ValueError(f"undeclared fields: {', '.join(unknown)}")
        aliases = {r.alias for r in self.references}
        if strange := sorted({link.reference for link in self.links} - aliases):
            raise ValueError(f"links to undeclared references: {', '.join(strange)}")
        return self

    def field(self, name: str) -> FieldContract:
        """The field of that name; KeyError if the contract has none."""
        return next((f for f in self.fields if f.name == name), None) or _missing(name)

    @property
    def level(self) -> int:
        """The level of the dataset is that of its highest field (GB/T 43697: 就高从严)."""
        return max(f.level for f in self.fields)

    @property
    def served_fields(self) -> tuple[FieldContract, ...]:
        """The fields that may be served at all (P8): their protection is declared and is not `drop`."""
        return tuple(f for f in self.fields if f.served)

    @property
    def recognisable(self) -> frozenset[str]:
        """The fields a delivery must bring at least one of: those its business key is made of."""
        made_of = {d.field: d.inputs for d in self.derive}
        made_of |= {link.field: tuple(n for n in (link.code, link.name) if n) for link in self.links}
        return frozenset(name for key in self.business_key for name in made_of.get(key, (key,)))


def _once(what: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} declared twice: {', '.join(twice)}")


def _missing(name: str) -> FieldContract:
    raise KeyError(name)
