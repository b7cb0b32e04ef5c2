"""The desk a page works at: the visitor, the services asked in his name, and the answer given."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, cast

from edulake.common.errors import Unavailable
from edulake.common.identity import Subject, stating
from edulake.common.policy import Deciding, Facts, Scope, asking_of, could, may
from edulake.common.policy.relations import CONTACT
from edulake.common.service import Res, Resources
from edulake.portal.clients.calls import Calls
from edulake.portal.clients.reply import Reply
from edulake.portal.forms import Form, read_form
from edulake.portal.names import Names
from edulake.portal.navigation import links_for, section_of
from edulake.portal.rendering import render
from edulake.portal.session import Visit, require_token, resolve
from edulake.portal.settings import PortalSettings
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

#: What a page says after something was done; the address carries the key only.
DONE = {
    "applied": "申请已提交，等待审批。",
    "withdrawn": "申请已撤回。",
    "approve": "已同意。",
    "refuse": "已拒绝，申请人会看到理由。",
    "assign": "已分派。",
    "take": "已认领，由您处理。",
    "delivered": "已接收。处理进度会在本页更新。",
    "repeated": "同一文件已经报送过，这是当时的批次，没有重复入湖。",
    "withdraw-batch": "批次已撤回，不会进入治理。",
    "confirm-batch": "已确认，批次已入湖。处理进度会在本页更新。",
    "agree-batch": "已同意，批次重新排队处理；缺少的数据随后不再使用。",
    "refuse-batch": "已退回；现有数据不变，来源会看到理由。",
    "release-batch": "已放行，发布重新排队。",
    "rolled-back": "已回退。下面标出的是正在使用的版本。",
    "reprocess-batch": "已重新排队处理。",
    "resolve": "已报告处理完成；下一批数据验证通过后自动关闭。",
    "comment": "已留言。",
    "ended": "授权已结束，5 秒内在全部网关生效。",
    "retry-batch": "已重新排队发布；稍后刷新本页查看结果。",
    "retire-secret": "密钥已停用，不能再换取令牌。",
    "admit-person": "已准入，机构与区已保存；此人可以登录。",
    "disable-person": "已停用，全部会话已结束。",
    "disable-app": "应用已停用，已发的令牌几秒内失效。",
    "enable-app": "应用已启用。",
    "roles-person": "角色已保存，从下一次请求起生效。",
    "register-source": "来源已登记，联系人可以开始报送。",
    "change-source": "登记已保存；以前的登记保留在历史里。",
}


@dataclass(frozen=True)
class Rights:
    """What somebody may do to one object: `may("batch", "withdraw")` in a template, as the service will answer."""

    subject: Subject
    facts: Facts

    def __call__(self, kind: str, verb: str) -> bool:
        return may(self.subject, kind, verb, self.facts)


class Desk:
    """One request of one known person."""

    def __init__(self, request: Request, resources: Resources, visit: Visit) -> None:
        self.request = request
        self.visit = visit
        self.resources = resources
        self.settings = cast(PortalSettings, resources.settings)
        self.names = Names(resources.standards)
        self._calls = cast(Calls, resources.extra["calls"])
        self._deciding = Deciding(resources.standards.datasets, asking_of(resources))

    def get(self, service: str, path: str, **params: Any) -> Coroutine[Any, Any, Reply]:
        """Ask for something; parameters without a value are left out."""
        chosen = {name: value for name, value in params.items() if value not in (None, "")}
        return self._calls.ask("GET", service, path, self.visit.subject, params=chosen)

    def post(self, service: str, path: str, body: dict[str, Any]) -> Coroutine[Any, Any, Reply]:
        """Ask for something to be done."""
        return self._calls.ask("POST", service, path, self.visit.subject, json=body)

    def put(self, service: str, path: str, body: dict[str, Any]) -> Coroutine[Any, Any, Reply]:
        """Ask for something to be replaced."""
        return self._calls.ask("PUT", service, path, self.visit.subject, json=body)

    def get_slowly(self, service: str, path: str, wait_s: float) -> Coroutine[Any, Any, Reply]:
        """Ask for something that takes longer than a page may."""
        return self._calls.ask("GET", service, path, self.visit.subject, timeout=wait_s)

    def change(self, method: str, service: str, path: str) -> Coroutine[Any, Any, Reply]:
        """PUT or DELETE something that has no body."""
        return self._calls.ask(method, service, path, self.visit.subject)

    def send(self, service: str, path: str, **options: Any) -> Coroutine[Any, Any, Reply]:
        """Pass something on that is no JSON; `options` are httpx's."""
        return self._calls.ask("POST", service, path, self.visit.subject, **options)

    def fetch(self, service: str, path: str) -> Coroutine[Any, Any, Reply | bytes]:
        """Ask for a file."""
        return self._calls.fetch(service, path, self.visit.subject)

    def could(self, kind: str, verb: str) -> bool:
        """Whether the visitor may do this to some object (`edulake.common.policy`)."""
        return could(self.visit.subject, kind, verb)

    def may_of(self, dataset: str, kind: str, verb: str) -> bool:
        """Whether the visitor may do this to whatever is of a dataset, whoever delivered it."""
        return may(self.visit.subject, kind, verb, self._deciding.facts(dataset))

    async def rights(self, dataset: str, source: str) -> "Rights":
        """What the visitor may do to what a source delivered; while ingest is silent nothing as its contact."""
        facts = self._deciding.facts(dataset)
        if CONTACT.could(self.visit.subject):
            with suppress(Unavailable):
                facts = await self._deciding.with_contact(facts, source)
        return Rights(self.visit.subject, facts)

    async def scope(self, kind: str, verb: str = "read") -> Scope:
        """What of a list the visitor may see; while ingest is silent nothing as a contact."""
        try:
            return await self._deciding.scope(self.visit.subject, kind, verb)
        except Unavailable:
            return Scope()

    async def side_by_side(self, *asked: Coroutine[Any, Any, Reply]) -> list[Reply]:
        return list(await asyncio.gather(*asked))

    def people_of(self, ids: Iterable[str | None]) -> Coroutine[Any, Any, dict[str, str]]:
        """Names of people and programs by id; of nobody where auth does not tell."""
        return self._calls.names(ids)

    async def form(self) -> Form:
        """The form that was sent; raises Forbidden when it does not carry this session's token."""
        form = await read_form(self.request, self.settings.form_max_bytes)
        require_token(self.visit, form.get("csrf"))
        return form

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        subject = self.visit.subject
        return render(
            template,
            status=status,
            me=subject,
            could=self.could,
            may_of=self.may_of,
            names=self.names,
            csrf=self.visit.csrf,
            links=links_for(subject),
            here=section_of(self.request.url.path),
            done=DONE.get(self.request.query_params.get("done", "")),
            live_every_s=self.settings.live_every_s,
            **values,
        )

    def trouble_page(self, reply: Reply, noun: str) -> HTMLResponse:
        """A whole page for a thing that cannot be shown, in the service's own words."""
        return self.page("shared/trouble.html", status=reply.status, trouble=reply.trouble, noun=noun)

    def go(self, path: str) -> Response:
        """To another page; htmx is told to take the whole window there."""
        if "hx-request" in self.request.headers:
            return Response(status_code=204, headers={"HX-Redirect": path, "Cache-Control": "no-store"})
        return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


async def _open_desk(request: Request, resources: Res) -> Desk:
    return Desk(request, resources, await resolve(request, resources.extra["calls"]))


#: A page of somebody with a session; what it shows is decided where it comes from.
AtDesk = Annotated[Desk, stating("page:open", _open_desk)]
