"""`/help`: how to do things here."""

from edulake.portal.desk import AtDesk
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()


@router.get("/help")
async def guide(desk: AtDesk) -> HTMLResponse:
    return desk.page("help/page.html", base=desk.settings.issuer)
