"""Favourites as the API shows them."""

from datetime import datetime
from typing import Self

from edulake.catalog.models import Favourite, Resource
from pydantic import BaseModel


class FavouriteOut(BaseModel):
    """A resource the caller follows; `updated_at` is its last publication."""

    resource_id: str
    kind: str
    title: str
    followed_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, favourite: Favourite, resource: Resource) -> Self:
        return cls(
            resource_id=resource.id,
            kind=resource.kind,
            title=resource.title,
            followed_at=favourite.created_at,
            updated_at=resource.published_at,
        )
