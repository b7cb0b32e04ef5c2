"""Resolving a cookie (services only), and a person's own sessions."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from edulake.auth.parts import PartsDep
from edulake.auth.session import repository, service
from edulake.auth.session.schemas import Resolved, ResolveIn, SessionOut
from edulake.common.clock import now
from edulake.common.db import ReadSession, Session
from edulake.common.errors import NotFound
from edulake.common.identity import Subject
from edulake.common.policy import allow
from fastapi import APIRouter, Response

router = APIRouter(tags=["sessions"])
Reader = Annotated[Subject, allow("session", "read")]
Ender = Annotated[Subject, allow("session", "end")]


@router.post(
    "/internal/sessions/resolve",
    dependencies=[allow("session", "resolve")],
    summary="由 Cookie 得到身份（仅内部）",
)
async def resolve(asked: ResolveIn, session: Session, parts: PartsDep, response: Response) -> Resolved:
    response.headers["Cache-Control"] = "no-store"
    return await service.resolve(session, parts.settings, asked.cookie)


@router.get("/api/auth/sessions", summary="我的会话")
async def list_sessions(caller: Reader, session: ReadSession, parts: PartsDep) -> list[SessionOut]:
    idle = timedelta(seconds=parts.settings.session_idle_s)
    found = await repository.list_alive(session, caller.id, at=now(), idle=idle)
    return [SessionOut.model_validate(row) for row in found]


@router.delete("/api/auth/sessions/{session_id}", status_code=204, summary="结束我的一个会话")
async def end_session(session_id: UUID, caller: Ender, session: Session) -> None:
    if not await repository.end(session, session_id, caller.id):
        raise NotFound("没有这个会话", "no such session of yours")


@router.delete("/api/auth/sessions", status_code=204, summary="结束我的全部会话")
async def end_sessions(caller: Ender, session: Session) -> None:
    await repository.end_all_of(session, caller.id)
