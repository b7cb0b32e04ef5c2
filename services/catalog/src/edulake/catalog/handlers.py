"""What the catalogue does when something was published."""

from typing import TYPE_CHECKING

from edulake.catalog.resource import service
from edulake.common.events import Event, PublishedDatasetUpdated
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from edulake.common.bus import Handlers
    from edulake.common.service import Resources


async def list_published(
    session: AsyncSession, facts: PublishedDatasetUpdated, _envelope: Event, resources: "Resources"
) -> None:
    """A published dataset appears as a resource, with its APIs."""
    await service.list_published(session, facts, resources.standards)


HANDLERS: "Handlers" = {PublishedDatasetUpdated: list_published}
