"""Clients as the API takes and gives them; a secret is shown once, when it is made."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from edulake.auth.role.schemas import RolesOut
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ClientId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=100)]
Place = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class ClientIn(BaseModel, extra="forbid"):
    """A client an administrator registers; roles are granted afterwards, by another administrator."""

    client_id: ClientId | None = None
    name: Title
    organisation: Place
    district: Place | None = None
    owner: Annotated[str, StringConstraints(pattern=r"^person:.{1,200}$")] | None = None


class AppIn(BaseModel, extra="forbid"):
    """An application a person registers for himself; it gets the role applicant."""

    name: Title
    organisation: Place | None = None


class KeysIn(BaseModel, extra="forbid"):
    """The public keys (JWK, RFC 7517) that sign this client's assertions; replaces those before."""

    keys: list[dict[str, Any]] = Field(max_length=4)


class SecretOut(BaseModel):
    """What may be known of a secret: never the secret."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ClientOut(BaseModel):
    """A client."""

    client_id: str
    name: str
    organisation: str | None
    district: str | None
    roles: list[str]
    status: str
    owner: str | None
    secrets: list[SecretOut]
    key_ids: list[str]
    created_at: datetime


class ClientRolesOut(RolesOut):
    """`credentials_void`: an administrator's role was given, so the client's secrets and keys are gone."""

    credentials_void: bool


class ClientCreated(ClientOut):
    """A new client with its secret, shown this once."""

    client_secret: str


class SecretCreated(SecretOut):
    """A new secret, shown this once; the ones before end at `others_until`."""

    client_id: str
    client_secret: str
    others_until: datetime
