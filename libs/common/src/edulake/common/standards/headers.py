"""Which delivered headers feed which field: the source's own mapping first, then the contract's aliases.

How a header is typed does not count: widths, white space, invisible characters, letter case, stars and
hints in brackets such as （必填）. Ingest asks before a delivery lands, governance when it converts.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from edulake.common.mask import shape
from edulake.common.standards.contract import Contract

#: field → headers that feed it, best first
Headers = dict[str, list[str]]


def plain(header: str) -> str:
    """A header without what people add or change when they type it."""
    # Invisible characters go first: what one of them parted may compose.
    visible = "".join(c for c in header if unicodedata.category(c) != "Cf")
    folded = unicodedata.normalize("NFKC", visible)
    kept = (c for c in folded if not c.isspace() and unicodedata.category(c) != "Cc")
    bare = "".join(kept).lower().replace("*", "")
    return bare.split("(")[0] or bare


def recognise(
    delivered: Sequence[str], contract: Contract, mapping: Mapping[str, str]
) -> tuple[Headers, list[str]]:
    """Which headers feed which field, and those that feed none. `mapping`: {delivered header: field}.

    A header that the mapping sends to no field of the contract feeds none, whatever the aliases say.
    """
    fields = {field.name for field in contract.fields}
    own = {plain(header): field for header, field in mapping.items()}
    by_alias = {plain(alias): f.name for f in contract.fields for alias in (*f.aliases, f.name)}
    target = {header: own.get(plain(header), by_alias.get(plain(header))) for header in delivered}
    mapped = [header for header in delivered if plain(header) in own]
    known = [*mapped, *(header for header in delivered if plain(header) not in own)]
    headers: Headers = {}
    for header in known:
        field = target[header]
        if field in fields:
            headers.setdefault(str(field), []).append(header)
    return headers, [header for header in delivered if target[header] not in fields]


def labels(
    delivered: Sequence[str], contracts: Iterable[Contract], mapping: Mapping[str, str]
) -> dict[str, str]:
    """delivered header → what may be stored and told of it; each label once.

    A header that a contract or the source's mapping knows is called by the word written there; of any other one its
    place and shape are told (`第 3 列（汉字 1–4 位）`), for it may be the first row of a file without a header.
    """
    known = {plain(w): w for c in contracts for f in c.fields for w in (f.name, f.title, *f.aliases)}
    known |= {plain(header): header for header in mapping}
    found: dict[str, str] = {}
    for place, header in enumerate(delivered, start=1):
        word = known.get(plain(header))
        label = word or f"第 {place} 列（{shape(header)}）"
        found[header] = f"{label}（第 {place} 列）" if label in found.values() else label
    return found
