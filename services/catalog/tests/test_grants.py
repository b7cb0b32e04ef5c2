"""Who sees and who ends which grants: one matrix of callers."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from edulake.catalog.models import Application, Decision, GrantRow
from edulake.common.clock import now
from edulake.common.identity import HEADER, ContextVerifier
from edulake.common.service import Resources
from fastapi import FastAPI, Request
from sqlalchemy import text

from .conftest import CENTRE, EXAMS, Headers

DISTRICT = "示范区教育局"


@dataclass
class Caller:
    """Who asks, which grants (by resource) he must see, and which he may end."""

    says: str
    roles: tuple[str, ...]
    sees: str = ""
    ends: str = ""
    id: str = "person:nobody"
    more: dict[str, Any] = field(default_factory=dict)


#: S = schools grant of zheng (示范区教育局), Q = senior-quota grant of another bureau's person.
MATRIX = [
    Caller("the person who asked", ("applicant",), "S", "S", "person:zheng", {"organisation": DISTRICT}),
    Caller("a colleague of his", ("applicant",), "S", "", "person:feng", {"organisation": DISTRICT}),
    Caller("a stranger", ("applicant",), "", "", "person:wei", {"organisation": "他区教育局"}),
    Caller("a person without organisation", ("applicant",)),
    Caller("the application itself", ("applicant",), "S", "", "client:app-s"),
    Caller(
        "another application of his office", ("applicant",), "", "", "client:x", {"organisation": DISTRICT}
    ),
    Caller("the owner by care", ("owner",), "SQ", "SQ", "person:zhou-owner"),
    Caller("a program of his", ("owner",), "SQ", "SQ", "client:his", {"accountable": "person:zhou-owner"}),
    Caller("an owner of that house", ("owner",), "S", "S", "person:han", {"organisation": CENTRE}),
    Caller("an owner of another house", ("owner",), "Q", "Q", "person:yang", {"organisation": EXAMS}),
    Caller("an owner of nothing here", ("owner",), "", "", "person:zhu", {"organisation": "区档案馆"}),
    Caller("the approver who decided", ("approver",), "S", "S", "person:decider"),
    Caller("the security administrator", ("security_admin",), "SQ", "SQ"),
    Caller("the audit administrator", ("audit_admin",), "SQ", ""),
    Caller("the system administrator", ("system_admin",)),
    Caller("a steward of that house", ("steward",), "", "", "person:li", {"organisation": CENTRE}),
    Caller("a service", ("service",), "", "", "service:gateway"),
]


@pytest.fixture
async def granted(client: httpx.AsyncClient, app: Any) -> dict[str, str]:
    """One grant for schools, one for senior-quota: letter → grant id."""
    made = {}
    rows = (
        ("S", "api:schools", "school_base", "app-s", "person:zheng", "郑申请", DISTRICT, "person:decider"),
        (
            "Q",
            "api:senior-quota",
            "senior_quota",
            "app-q",
            "person:other",
            "他申请",
            "外区教育局",
            "person:q",
        ),
    )
    resources: Resources = app.state.resources
    async with resources.database.transaction() as session:
        for letter, resource, dataset, client_id, who, name, organisation, decider in rows:
            application, moment = uuid4(), now()
            asked = {"resource_id": resource, "client_id": client_id, "purpose": "学区地图", "level": 1}
            shape = {"columns": ["school_name"], "districts": []}
            session.add(
                Application(
                    id=application,
                    requested_by=who,
                    requested_by_name=name,
                    accountable=who,
                    organisation=organisation,
                    scenario="展示",
                    days=30,
                    steps=["owner"],
                    status="approved",
                    created_at=moment,
                    decided_at=moment,
                    **asked,
                    **shape,
                )
            )
            await session.flush()
            session.add(
                Decision(
                    application_id=application,
                    step="owner",
                    decision="approve",
                    reason="",
                    decided_by=decider,
                    decided_by_name="审",
                    accountable=decider,
                    decided_at=moment,
                )
            )
            made[letter] = str(uuid4())
            session.add(
                GrantRow(
                    grant_id=made[letter],
                    application_id=application,
                    api=resource.removeprefix("api:"),
                    dataset=dataset,
                    mask_level="standard",
                    valid_from=moment,
                    valid_until=moment + timedelta(days=365),
                    ip_allow=[],
                    rate_per_s=10,
                    day_quota=100,
                    status="active",
                    changed_at=moment,
                    **asked,
                    **shape,
                )
            )
    return made


@pytest.mark.parametrize("caller", MATRIX, ids=lambda caller: caller.says)
class TestWho:
    def headers(self, caller: Caller, as_subject: Headers) -> dict[str, str]:
        return as_subject(*caller.roles, id=caller.id, audience="catalog", **caller.more)

    async def test_sees_and_may_end(
        self, client: httpx.AsyncClient, granted: dict[str, str], as_subject: Headers, caller: Caller
    ) -> None:
        headers = self.headers(caller, as_subject)
        found = (await client.get("/api/catalog/grants", headers=headers)).json()["items"]
        letters = {grant_id: letter for letter, grant_id in granted.items()}
        assert {letters[one["grant_id"]] for one in found} == set(caller.sees)
        assert {letters[one["grant_id"]] for one in found if one["may_end"]} == set(caller.ends)
        for letter, grant_id in granted.items():
            one = await client.get(f"/api/catalog/grants/{grant_id}", headers=headers)
            assert one.status_code == (200 if letter in caller.sees else 404)

    async def test_ends(
        self, client: httpx.AsyncClient, granted: dict[str, str], as_subject: Headers, caller: Caller
    ) -> None:
        headers = self.headers(caller, as_subject)
        for letter, grant_id in granted.items():
            url = f"/api/catalog/grants/{grant_id}/revoke"
            answer = await client.post(url, json={"reason": "用途结束"}, headers=headers)
            wanted = 200 if letter in caller.ends else 403 if letter in caller.sees else 404
            assert answer.status_code == wanted, answer.text


class TestList:
    async def test_says_what_it_is_for_and_narrows(
        self, client: httpx.AsyncClient, granted: dict[str, str], security: Any
    ) -> None:
        found = (await client.get("/api/catalog/grants?resource_id=api:schools", headers=security)).json()
        (one,) = found["items"]
        assert (one["title"], one["requested_by_name"], one["organisation"]) == (
            "学校查询",
            "郑申请",
            DISTRICT,
        )
        none = (await client.get("/api/catalog/grants?status=revoked", headers=security)).json()
        assert none["items"] == []

    async def test_pages_neither_skip_nor_repeat(
        self, client: httpx.AsyncClient, granted: dict[str, str], security: Any
    ) -> None:
        first = (await client.get("/api/catalog/grants?limit=1", headers=security)).json()
        second = (
            await client.get(f"/api/catalog/grants?limit=1&cursor={first['next']}", headers=security)
        ).json()
        seen = {one["grant_id"] for one in first["items"] + second["items"]}
        assert seen == set(granted.values())
        assert second["next"] is None


class TestUseOfToday:
    @pytest.fixture
    async def counting(self, app: Any, client: httpx.AsyncClient) -> list[Any]:
        """A gateway that counts, and what it was asked."""
        asked: list[Any] = []
        gateway, key = FastAPI(), app.state.resources.settings.internal_key

        @gateway.get("/api/gateway/usage/today")
        async def today(request: Request) -> list[dict[str, Any]]:
            subject = ContextVerifier(key, "gateway").verify(request.headers[HEADER])
            asked.append((subject.id, request.query_params.getlist("client_id")))
            return [{"client_id": "app-s", "api": "schools", "answered": 7, "refused": 1}]

        await reach(app, httpx.ASGITransport(gateway))
        return asked

    async def test_stands_beside_each_grant(
        self, client: httpx.AsyncClient, granted: dict[str, str], security: Any, counting: list[Any]
    ) -> None:
        found = (await client.get("/api/catalog/grants?usage=true", headers=security)).json()["items"]
        used = {one["client_id"]: (one["answered_today"], one["refused_today"]) for one in found}
        assert used == {"app-s": (7, 1), "app-q": (0, 0)}
        assert counting == [("service:catalog", ["app-q", "app-s"])]

    async def test_is_empty_and_no_error_when_the_gateway_is_silent(
        self, client: httpx.AsyncClient, app: Any, granted: dict[str, str], security: Any
    ) -> None:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        await reach(app, httpx.MockTransport(refuse))
        answer = await client.get("/api/catalog/grants?usage=true", headers=security)
        assert answer.status_code == 200
        assert {one["answered_today"] for one in answer.json()["items"]} == {None}

    async def test_of_what_has_ended_nobody_asks(
        self, client: httpx.AsyncClient, app: Any, granted: dict[str, str], security: Any, counting: list[Any]
    ) -> None:
        async with app.state.resources.database.transaction() as session:
            await session.execute(text("""UPDATE catalog."grant" SET status = 'expired'"""))
        await client.get("/api/catalog/grants?usage=true", headers=security)
        assert counting == []


async def reach(app: Any, transport: httpx.AsyncBaseTransport) -> None:
    """The catalogue's calls to other services end here."""
    internal = app.state.resources.extra["internal"]
    await internal._http.aclose()
    internal._http = httpx.AsyncClient(transport=transport)
