"""Every page of the portal, in one router: what the document says of a page is said once."""

from edulake.portal import statics
from edulake.portal.pages import (
    applications,
    apps,
    audit,
    batches,
    deliveries,
    grants,
    guide,
    orders,
    overview,
    people,
    quality,
    resource,
    resources,
    sources,
)
from edulake.portal.refusals import PAGE_ANSWERS
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PAGES = (
    overview,
    resources,
    resource,
    applications,
    grants,
    apps,
    orders,
    deliveries,
    batches,
    quality,
    sources,
    people,
    audit,
    guide,
    statics,
)


def site() -> APIRouter:
    """All pages in one router: what the document says of a page is said once."""
    pages = APIRouter(default_response_class=HTMLResponse, responses=PAGE_ANSWERS)
    for page in PAGES:
        pages.include_router(page.router)
    return pages
