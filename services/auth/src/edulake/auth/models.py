"""The tables of auth; the migrations are their only maker."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Everything stands in the schema `auth`."""

    metadata = MetaData(schema="auth")


_moment = DateTime(timezone=True)


class Person(Base):
    """Somebody a provider vouches for; identity is (issuer, subject)."""

    __tablename__ = "person"
    id: Mapped[str] = mapped_column(primary_key=True)
    issuer: Mapped[str]
    subject: Mapped[str]
    name: Mapped[str]
    organisation: Mapped[str | None]
    district: Mapped[str | None]
    #: pending (known, not yet let in), active, disabled
    status: Mapped[str]
    #: natural, or legal (法人): an account of a body, which holds operator's roles only
    kind: Mapped[str]
    #: Keyed hash of the identity number, where the provider tells one.
    id_hash: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(_moment)
    last_seen_at: Mapped[datetime | None] = mapped_column(_moment)


class Client(Base):
    """A program that calls in its own name."""

    __tablename__ = "client"
    client_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    organisation: Mapped[str | None]
    district: Mapped[str | None]
    #: Subject id of the person who answers for it; None when an administrator registered it.
    owner: Mapped[str | None]
    status: Mapped[str]
    #: Public JWKs for private_key_jwt.
    keys: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(_moment)
    created_by: Mapped[str]


class ClientSecret(Base):
    """One of a client's secrets, as a keyed digest."""

    __tablename__ = "client_secret"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_moment)
    expires_at: Mapped[datetime | None] = mapped_column(_moment)
    last_used_at: Mapped[datetime | None] = mapped_column(_moment)


class UsedAssertion(Base):
    """A `jti` that a client has used; a second use before its expiry is a replay."""

    __tablename__ = "used_assertion"
    client_id: Mapped[str] = mapped_column(primary_key=True)
    jti: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(_moment)


class Revocation(Base):
    """What was revoked, by whom and why."""

    __tablename__ = "revocation"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    jti: Mapped[str | None]
    client_id: Mapped[str | None]
    before: Mapped[datetime] = mapped_column(_moment)
    expires_at: Mapped[datetime] = mapped_column(_moment)
    by: Mapped[str]
    reason: Mapped[str]


class RoleAssignment(Base):
    """One role of one holder; added and removed, never edited."""

    __tablename__ = "role_assignment"
    holder: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    granted_by: Mapped[str]
    granted_at: Mapped[datetime] = mapped_column(_moment)


class RoleChange(Base):
    """The record of role changes; the database writes it itself and refuses to rewrite it."""

    __tablename__ = "role_change"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(_moment)
    by: Mapped[str]
    holder: Mapped[str]
    role: Mapped[str]
    change: Mapped[str]
    reason: Mapped[str]
    trace_id: Mapped[str]


class Session(Base):
    """A browser that is logged in; the cookie's digest finds it."""

    __tablename__ = "session"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str]
    person: Mapped[str]
    agent: Mapped[str]
    #: How sure the provider was (`acr`), as it said at the login.
    acr: Mapped[str | None]
    #: Digest of the provider's own session (`sid`): by it a back-channel logout finds this one.
    provider_session: Mapped[str | None]
    #: The id token, sealed for this row: signing out at the provider shows it. Gone with the session.
    id_token: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(_moment)
    last_seen_at: Mapped[datetime] = mapped_column(_moment)
    expires_at: Mapped[datetime] = mapped_column(_moment)


class LogoutNotice(Base):
    """A logout token that was heeded: a second use is a replay, and a login on its way in that session is late."""

    __tablename__ = "logout_notice"
    digest: Mapped[str] = mapped_column(primary_key=True)
    provider_session: Mapped[str | None]
    expires_at: Mapped[datetime] = mapped_column(_moment)


class LoginAttempt(Base):
    """A begun login: taken out, once, by the browser that began it."""

    __tablename__ = "login_attempt"
    state_digest: Mapped[str] = mapped_column(primary_key=True)
    browser_digest: Mapped[str]
    nonce: Mapped[str]
    code_verifier: Mapped[str]
    return_to: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(_moment)


class SigningKey(Base):
    """A key of access tokens; the private half is sealed (SM4-GCM)."""

    __tablename__ = "signing_key"
    kid: Mapped[str] = mapped_column(primary_key=True)
    public: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sealed: Mapped[str]
    #: next, current or previous
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_moment)
    until: Mapped[datetime | None] = mapped_column(_moment)


class TrailEntry(Base):
    """One thing that happened to an identity."""

    __tablename__ = "trail"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(_moment)
    kind: Mapped[str]
    by: Mapped[str]
    about: Mapped[str]
    outcome: Mapped[str]
    trace_id: Mapped[str]
