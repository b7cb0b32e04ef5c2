"""Advisory locks of Postgres: every space there is stands here, so that no two locks mean the same numbers.

A lock is two numbers, its space and the hash of a name. Two names that hash alike wait for each other,
which costs time and nothing else. The other form, one number of 64 bits, is the announcers' alone:
`bus.horizon` reads positions out of `pg_locks` and takes every such lock with `ANNOUNCERS` in its upper
16 bits for an event on its way (migrations/0001_bus.py). The two forms can never meet.
"""

from enum import IntEnum
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

#: Upper 16 bits of the locks of one number; no space, but no space may look like it either.
ANNOUNCERS: Final = 3803


class Space(IntEnum):
    """What a lock is about; the name within the space says which one."""

    #: The writer of a lake table, `zone/table`; of sealed objects, `zone/dataset`.
    LAKE_TABLE = 3804
    #: The one active process of a consumer group, or the relay.
    LEADER = 3805
    #: The writer of the audit chain.
    AUDIT_CHAIN = 3806
    #: Whoever changes what is published of a dataset.
    PUBLICATION = 3808
    #: Whoever migrates the database.
    MIGRATIONS = 3810
    #: Whoever stores, adopts or removes sealed objects, `dataset/digest`.
    RAW_OBJECT = 3811
    #: Whoever changes the governed versions of a dataset.
    GOVERNED_DATASET = 3812
    #: Whoever changes the signing keys.
    SIGNING_KEYS = 3813
    #: Whoever changes the roles of a holder.
    ROLES = 3814
    #: Whoever registers clients of an owner.
    CLIENTS = 3815
    #: Whoever lands a delivery, `source/dataset/period`.
    DELIVERY = 3816
    #: Whoever opens or ends what was begun in one session of an identity provider, by its digest.
    PROVIDER_SESSION = 3824


_LOCK = text("SELECT pg_advisory_xact_lock(:space, hashtext(:name))")
_TRY = text("SELECT pg_try_advisory_xact_lock(:space, hashtext(:name))")
_HOLD = text("SELECT pg_advisory_lock(:space, hashtext(:name))")
_RELEASE = text("SELECT pg_advisory_unlock(:space, hashtext(:name))")


async def lock(session: AsyncSession, space: Space, name: str = "") -> None:
    """Wait until nobody else has the lock and hold it until the transaction ends."""
    await session.execute(_LOCK, {"space": int(space), "name": name})


async def try_lock(session: AsyncSession, space: Space, name: str = "") -> bool:
    """Hold the lock until the transaction ends; False, at once, when somebody else has it."""
    return bool(await session.scalar(_TRY, {"space": int(space), "name": name}))


async def hold(connection: AsyncConnection, space: Space, name: str = "") -> None:
    """Wait for the lock and hold it over transactions, until `release` or the end of the connection."""
    await connection.execute(_HOLD, {"space": int(space), "name": name})


async def release(connection: AsyncConnection, space: Space, name: str = "") -> None:
    """Give up what `hold` took."""
    await connection.execute(_RELEASE, {"space": int(space), "name": name})
