"""Favourites in the database."""

from datetime import datetime

from edulake.catalog.models import Favourite, Resource
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


async def follows(session: AsyncSession, subject: str, resource_id: str) -> bool:
    return await session.get(Favourite, (subject, resource_id)) is not None


async def count(session: AsyncSession, subject: str) -> int:
    query = select(func.count()).select_from(Favourite).where(Favourite.subject == subject)
    return await session.scalar(query) or 0


async def add(session: AsyncSession, subject: str, resource_id: str, at: datetime) -> None:
    """Follow; doing so twice keeps the first time."""
    row = {"subject": subject, "resource_id": resource_id, "created_at": at}
    await session.execute(insert(Favourite).values(**row).on_conflict_do_nothing())


async def remove(session: AsyncSession, subject: str, resource_id: str) -> None:
    """Follow no longer; nothing happens when nobody did."""
    own = (Favourite.subject == subject, Favourite.resource_id == resource_id)
    await session.execute(delete(Favourite).where(*own))


async def list_after(
    session: AsyncSession, subject: str, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[Favourite, Resource]]:
    """Last followed first."""
    query = select(Favourite, Resource).join(Resource, Resource.id == Favourite.resource_id)
    place = tuple_(Favourite.created_at, Favourite.resource_id)
    query = query.where(Favourite.subject == subject, *([place < after] if after else []))
    query = query.order_by(Favourite.created_at.desc(), Favourite.resource_id.desc()).limit(limit)
    return [(row[0], row[1]) for row in await session.execute(query)]
