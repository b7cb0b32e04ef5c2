"""A 一网通办 mapping: which field of a user centre means what (`standards/login/*.yaml`).

The integration manuals are not public and differ between user centres, so names of fields and words of
values are data. What a centre cannot tell is left out by name under `relaxations`, or the mapping is refused:
nothing is silently not checked.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
#: What may be left out of `fields`, and what is then not known.
RELAXATIONS = {
    "status": "account status is not told: an inactive account is not refused",
    "level": "real-name level is not told: none can be asked for",
    "id_number": "identity number is not told: a user id given to somebody else is not noticed",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Browser(_Part):
    """Parameters of the addresses a browser is sent to and comes back with."""

    redirect: Word
    portal_token: Word


class TokenStep(_Part):
    """Our own access token: names in the form and in the answer."""

    client_id: Word
    client_secret: Word
    access_token: Word


class UserStep(_Part):
    """The question who somebody is: names in the form and in the envelope around the answer."""

    access_token: Word
    portal_token: Word
    is_success: Word
    data: Word


class Fields(_Part):
    """Names inside `data`. `name_legal`: the name of a 法人."""

    user_id: Word
    kind: Word
    name: Word
    name_legal: Word
    status: Word | None = None
    level: Word | None = None
    id_number: Word | None = None


class Mapping(_Part):
    """One user centre's ways."""

    name: Word
    title: Word
    browser: Browser
    token: TokenStep
    user: UserStep
    fields: Fields
    #: What stands in `kind`, `status` and `level`, word by word.
    kinds: dict[Word, Literal["natural", "legal"]]
    active: frozenset[Word] = frozenset()
    levels: dict[Word, Literal[1, 2, 3]] = Field(default_factory=dict)
    relaxations: frozenset[Literal["status", "level", "id_number"]] = frozenset()

    @model_validator(mode="after")
    def _say_what_is_left_out(self) -> Self:
        absent = {name for name in RELAXATIONS if getattr(self.fields, name) is None}
        if absent != self.relaxations:
            wrong = "、".join(sorted(absent ^ self.relaxations))
            raise ValueError(f"fields left out and `relaxations` must name the same: {wrong}")
        if (self.fields.status and not self.active) or (self.fields.level and not self.levels):
            raise ValueError("`active` and `levels` must say which words count")
        return self


def read_mapping(standards: Path, name: str) -> Mapping:
    """The mapping of that name; raises RuntimeError in words."""
    path = standards / "login" / f"{name}.yaml"
    try:
        mapping = Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RuntimeError(f"{path}: {error}") from error
    if mapping.name != name:
        raise RuntimeError(f"{path}: name must equal the file's name")
    return mapping
