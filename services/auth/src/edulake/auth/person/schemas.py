"""People as the API gives them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

Status = Literal["pending", "active", "disabled"]
Place = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class AdmitIn(BaseModel, extra="forbid"):
    """Where a person works; needed to let somebody in."""

    organisation: Place | None = None
    district: Place | None = None


class NamesIn(BaseModel, extra="forbid"):
    """Subject ids, `person:…` or `client:…`."""

    ids: list[Annotated[str, StringConstraints(max_length=210)]] = Field(max_length=200)


class NamesOut(BaseModel):
    """Display names by subject id; an id that is not known is absent."""

    names: dict[str, str]


class PersonOut(BaseModel):
    """A person with the roles held now."""

    id: str
    name: str
    organisation: str | None
    district: str | None
    roles: list[str]
    status: Status
    kind: Literal["natural", "legal"]
    created_at: datetime
    last_seen_at: datetime | None


class PersonDisabled(PersonOut):
    """Who was shut out, and the clients of his that were disabled with him; admitting him enables none of them."""

    disabled_clients: list[str]


class ContactOut(BaseModel):
    """A person as somebody reads it who must name a contact; `roles`: those that deliver or mend."""

    id: str
    name: str
    organisation: str | None
    roles: list[str]
