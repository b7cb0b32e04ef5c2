"""People: known by (issuer, subject), let in by the system administrator, given rights by another.

A provider such as 一网通办 vouches for every citizen, so being vouched for lets nobody in: an unknown
person is noted as pending and stays outside until an administrator admits him.
"""

from collections.abc import Sequence
from typing import Any

from edulake.auth.client import repository as client_rows
from edulake.auth.client.service import disable_all_of
from edulake.auth.models import Person
from edulake.auth.person import repository
from edulake.auth.person.schemas import AdmitIn, ContactOut, PersonOut
from edulake.auth.role import repository as roles
from edulake.auth.session import repository as sessions
from edulake.auth.settings import AuthSettings
from edulake.auth.trail.repository import record
from edulake.common.clock import now
from edulake.common.errors import Forbidden, NotFound
from edulake.common.gm import sm3_hex
from edulake.common.identity import Subject
from sqlalchemy.ext.asyncio import AsyncSession

MAX_NAME_CHARS = 100
#: Who delivers data or works on what is wrong with it.
CONTACT_ROLES = ("source_contact", "steward", "owner")


class PersonUnknown(NotFound):
    code, title_zh, title_en = "person-unknown", "人员不存在", "No such person"


def person_id(settings: AuthSettings, issuer: str, subject: str) -> str:
    """The subject id of an identity.

    The development issuer's names are ours and readable; any other issuer's `sub` may be a personal
    value (domain: 一网通办 userId), so logs and events only ever see its digest. A dev name holds a
    hyphen, which a digest never does: the two cannot collide.
    """
    if settings.uses_dev_issuer and issuer == settings.dev_issuer:
        return f"person:{subject}"
    identity = "\n".join((issuer, subject)).encode()
    return f"person:{sm3_hex(identity)[:32]}"


class IdentityChanged(Exception):
    """A provider's subject is not the person it was; the text is a constant reason."""


async def meet(
    session: AsyncSession, settings: AuthSettings, *, issuer: str, subject: str, name: str, **more: Any
) -> Person:
    """The person behind a verified identity; noted as pending when never seen before.

    `more`: `former_subjects`, `kind` and `id_hashes` of an `Identity`. Raises IdentityChanged when the account
    was given to somebody else: another identity number, or a body where a human was.
    """
    known_as = person_id(settings, issuer, subject)
    kind, hashes = more.get("kind", "natural"), more.get("id_hashes", ())
    person = await repository.find_identity(session, issuer, (subject, *more.get("former_subjects", ())))
    if person is None:
        fresh = {
            "id": known_as,
            "issuer": issuer,
            "subject": subject,
            "name": name[:MAX_NAME_CHARS],
            "status": "pending",
            "kind": kind,
            "created_at": now(),
        }
        if await repository.add_if_absent(session, fresh):
            await record(session, "person.noted", by="service:auth", about=known_as)
        person = await repository.find_identity(session, issuer, (subject,))
    if person is None:
        raise RuntimeError("an identity collided with another person's id")
    if person.kind != kind:
        raise IdentityChanged("kind of person changed")
    if person.id_hash and hashes and person.id_hash not in hashes:
        raise IdentityChanged("identity number changed")
    if hashes and person.id_hash != hashes[0]:
        await repository.set_id_hash(session, person.id, hashes[0])
    return person


async def admit(session: AsyncSession, target: str, place: AdmitIn, *, by: Subject) -> Person:
    """Let a person in; what is not given of the place stays. Raises PersonUnknown, Forbidden on oneself.

    His clients stay as they are: one that was disabled with him is enabled by itself, if it still should work.
    """
    person = await _set_status(session, target, "active", by)
    given = {"organisation": place.organisation, "district": place.district}
    kept = {name: value or getattr(person, name) for name, value in given.items()}
    await repository.set_place(session, target, **kept)
    person.organisation, person.district = kept["organisation"], kept["district"]
    return person


async def disable(
    session: AsyncSession, settings: AuthSettings, target: str, *, by: Subject
) -> tuple[Person, list[str]]:
    """Shut a person out: his sessions end and his clients are disabled, their ids are returned.

    Raises PersonUnknown, Forbidden on oneself.
    """
    person = await _set_status(session, target, "disabled", by)
    await sessions.end_all_of(session, target)
    return person, await disable_all_of(session, settings, target, by=by.id)


async def _set_status(session: AsyncSession, target: str, status: str, by: Subject) -> Person:
    if target == by.id:
        raise Forbidden("不能启用或停用自己", "nobody admits or disables himself")
    person = await repository.lock(session, target)
    if person is None:
        raise PersonUnknown("没有这个人员", "no such person")
    await repository.set_status(session, target, status)
    await record(session, f"person.{status}", by=by.id, about=target)
    person.status = status
    return person


async def describe(session: AsyncSession, people: Sequence[Person]) -> list[PersonOut]:
    held = await roles.roles_by_holder(session, [person.id for person in people])
    return [_out(person, held[person.id]) for person in people]


async def describe_contacts(session: AsyncSession, people: Sequence[Person]) -> list[ContactOut]:
    """People as possible contacts, with those of their roles that make them one."""
    held = await roles.roles_by_holder(session, [person.id for person in people])
    return [
        ContactOut(
            id=person.id,
            name=person.name,
            organisation=person.organisation,
            roles=[role for role in held[person.id] if role in CONTACT_ROLES],
        )
        for person in people
    ]


async def names_of(session: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
    """Display names of people and clients; who is not known is left out."""
    clients = [one.removeprefix("client:") for one in ids if one.startswith("client:")]
    named = await client_rows.names_of(session, clients)
    return await repository.names_of(session, ids) | {f"client:{one}": name for one, name in named.items()}


async def subject_of(session: AsyncSession, person: Person) -> Subject:
    """Who the person is to every service, with the roles held at this moment."""
    held = await roles.roles_of(session, person.id)
    return Subject(
        id=person.id,
        kind="person",
        name=person.name,
        roles=held,
        organisation=person.organisation,
        district=person.district,
    )


async def standing(session: AsyncSession, subject_id: str) -> Subject | None:
    """Who this is with the roles held now; None for nobody, and for who is pending or disabled."""
    if subject_id.startswith("client:"):
        return await _client_standing(session, subject_id)
    person = await repository.find(session, subject_id)
    return await subject_of(session, person) if person and person.status == "active" else None


async def _client_standing(session: AsyncSession, subject_id: str) -> Subject | None:
    client = await client_rows.find(session, subject_id.removeprefix("client:"))
    if client is None or client.status != "active":
        return None
    return Subject(
        id=subject_id,
        kind="client",
        name=client.name,
        roles=await roles.roles_of(session, subject_id),
        organisation=client.organisation,
        district=client.district,
        accountable=client.owner or subject_id,
    )


def _out(person: Person, held: list[str]) -> PersonOut:
    facts = {name: getattr(person, name) for name in PersonOut.model_fields if name != "roles"}
    return PersonOut.model_validate({**facts, "roles": held})
