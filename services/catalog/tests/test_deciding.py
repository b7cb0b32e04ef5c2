"""Who sees, weighs and decides which applications: one matrix; and that a person and his programs are one."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from edulake.common.identity import HEADER, ContextVerifier
from fastapi import FastAPI, Request
from sqlalchemy import text

from .conftest import CENTRE, EXAMS, Headers
from .test_grants import reach

APPLICATIONS = "/api/catalog/applications"
WANTED = {"purpose": "学区地图展示", "scenario": "市民查询学校", "days": 30, "promises": True}
APPROVE = {"decision": "approve"}


@dataclass
class Caller:
    """Who comes; of which applications he may: see, weigh (the pack), decide the present step."""

    says: str
    roles: tuple[str, ...]
    sees: str = ""
    weighs: str = ""
    decides: str = ""
    id: str = "person:nobody"
    more: dict[str, Any] = field(default_factory=dict)


#: S = student (the centre's) waits for the owner; T = student waits for the security administrator, decided by
#: person:han; Q = senior-quota (the examination house's). Asked by client:app, T by client:app-t, of person:zheng.
MATRIX = [
    Caller("an owner of that house", ("owner",), "ST", "ST", "S", "person:zhang", {"organisation": CENTRE}),
    Caller("an approver of that house", ("approver",), "ST", "ST", "S", more={"organisation": CENTRE}),
    Caller("an owner of another house", ("owner",), "Q", "Q", "Q", "person:yang", {"organisation": EXAMS}),
    Caller("an owner of a district", ("owner", "approver"), more={"organisation": "示范区教育局"}),
    Caller("an owner of no house", ("owner",)),
    Caller("the contact", ("owner",), "STQ", "STQ", "SQ", "person:zhou-owner", {"organisation": "其他"}),
    Caller("the contact without the role", ("steward",), id="person:zhou-owner"),
    Caller(
        "a program of the contact",
        ("owner",),
        "STQ",
        "STQ",
        "SQ",
        "client:his",
        {"accountable": "person:zhou-owner"},
    ),
    Caller(
        "a program nobody vouches for",
        ("owner",),
        "ST",
        "ST",
        "",
        "client:x",
        {"organisation": CENTRE, "accountable": None},
    ),
    Caller("who decided before", ("approver",), "T", "", "", "person:han"),
    Caller(
        "who decided before, in both roles",
        ("owner", "security_admin"),
        "STQ",
        "STQ",
        "S",
        "person:han",
        {"organisation": CENTRE},
    ),
    Caller(
        "a program of who decided before",
        ("security_admin",),
        "STQ",
        "STQ",
        "",
        "client:of-han",
        {"accountable": "person:han"},
    ),
    Caller("the security administrator", ("security_admin",), "STQ", "STQ", "T"),
    Caller("the audit administrator", ("audit_admin",), "STQ"),
    Caller("the system administrator", ("system_admin",)),
    Caller(
        "the program that asked", ("applicant",), "SQ", id="client:app", more={"accountable": "person:zheng"}
    ),
    Caller(
        "the program that asked, also an owner",
        ("owner",),
        "STQ",
        "ST",
        "",
        "client:app",
        {"accountable": "person:zheng", "organisation": CENTRE},
    ),
    Caller(
        "the person behind that program",
        ("applicant", "owner", "approver", "security_admin"),
        "STQ",
        "STQ",
        "",
        "person:zheng",
        {"organisation": CENTRE},
    ),
    Caller(
        "another program of that person",
        ("owner", "security_admin"),
        "STQ",
        "STQ",
        "",
        "client:other",
        {"accountable": "person:zheng", "organisation": CENTRE},
    ),
    Caller("a stranger", ("applicant",)),
]


@pytest.fixture
async def asked(client: httpx.AsyncClient, as_subject: Headers) -> dict[str, str]:
    """Three applications: letter → id."""
    made = {}
    for letter, resource, by in (
        ("S", "api:student", "app"),
        ("T", "api:student", "app-t"),
        ("Q", "api:senior-quota", "app"),
    ):
        # `app-t` is a second client of the same person: one client has one pending application for a resource.
        headers = as_subject("applicant", id=f"client:{by}", audience="catalog", accountable="person:zheng")
        body = {**WANTED, "resource_id": resource, "client_id": by}
        entered = await client.post(APPLICATIONS, json=body, headers=headers)
        assert entered.status_code == 201, entered.text
        made[letter] = entered.json()["id"]
    han = as_subject("owner", id="person:han", audience="catalog", organisation=CENTRE)
    first = await client.post(f"{APPLICATIONS}/{made['T']}/decisions", json=APPROVE, headers=han)
    assert first.json()["waiting_for"] == "security_admin"
    return made


@pytest.mark.parametrize("caller", MATRIX, ids=lambda caller: caller.says)
class TestWho:
    async def test_sees_weighs_and_decides(
        self, client: httpx.AsyncClient, asked: dict[str, str], as_subject: Headers, caller: Caller
    ) -> None:
        headers = as_subject(*caller.roles, id=caller.id, audience="catalog", **caller.more)
        sees, weighs, free = "", "", ""
        for letter, application in asked.items():
            url = f"{APPLICATIONS}/{application}"
            if (await client.get(url, headers=headers)).status_code == 200:
                sees += letter
            pack = await client.get(f"{url}/pack", headers=headers)
            weighs += letter if pack.status_code == 200 else ""
            free += letter if pack.status_code == 200 and pack.json()["hindrance"] == "" else ""
        todo = (await client.get(f"{APPLICATIONS}?todo=true", headers=headers)).json()["items"]
        listed = [item["id"] for item in todo]
        decides = ""
        for letter, application in asked.items():
            answer = await client.post(
                f"{APPLICATIONS}/{application}/decisions", json=APPROVE, headers=headers
            )
            decides += letter if answer.status_code == 200 else ""
            assert answer.status_code in (200, 403, 404), answer.text
        assert (sees, weighs, decides) == (caller.sees, caller.weighs, caller.decides)
        assert free == caller.decides, "what the pack says before is what the decision says after"
        assert listed == [asked[letter] for letter in asked if letter in caller.decides]


class TestAPersonAndHisPrograms:
    async def ask(self, client: httpx.AsyncClient, headers: dict[str, str], by: str) -> str:
        body = {**WANTED, "resource_id": "api:schools", "client_id": by}
        entered = await client.post(APPLICATIONS, json=body, headers=headers)
        assert entered.status_code == 201, entered.text
        return f"{APPLICATIONS}/{entered.json()['id']}"

    async def test_what_his_program_asked_for_he_does_not_approve(
        self, client: httpx.AsyncClient, as_subject: Headers, owner: Any
    ) -> None:
        program = as_subject("applicant", id="client:app-x", audience="catalog", accountable="person:zhou")
        url = await self.ask(client, program, "app-x")
        refused = await client.post(f"{url}/decisions", json=APPROVE, headers=owner)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:edulake:problem:own-application")

    async def test_what_he_asked_for_his_program_does_not_approve(
        self, client: httpx.AsyncClient, app: Any, as_subject: Headers
    ) -> None:
        await reach(app, auth_that_knows(app, {"app-x": "person:zheng"}))
        zheng = as_subject("applicant", id="person:zheng", audience="catalog")
        url = await self.ask(client, zheng, "app-x")
        program = as_subject(
            "approver", id="client:app-y", audience="catalog", accountable="person:zheng", organisation=CENTRE
        )
        refused = await client.post(f"{url}/decisions", json=APPROVE, headers=program)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:edulake:problem:own-application")

    @pytest.mark.parametrize("role", ["applicant", "owner"])
    async def test_a_program_of_which_nobody_knows_the_owner_neither_asks_nor_decides(
        self, client: httpx.AsyncClient, as_subject: Headers, app_headers: Any, role: str
    ) -> None:
        program = as_subject(role, id="client:old", audience="catalog", accountable=None, organisation=CENTRE)
        if role == "applicant":
            body = {**WANTED, "resource_id": "api:schools", "client_id": "old"}
            answer = await client.post(APPLICATIONS, json=body, headers=program)
        else:
            url = await self.ask(client, app_headers, "demo-app")
            answer = await client.post(f"{url}/decisions", json=APPROVE, headers=program)
        assert (answer.status_code, answer.json()["type"]) == (
            403,
            "urn:edulake:problem:accountable-unknown",
        )

    async def test_an_application_of_before_is_decided_by_nobody_and_can_be_withdrawn(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any
    ) -> None:
        url = await self.ask(client, app_headers, "demo-app")
        async with app.state.resources.database.transaction() as session:
            await session.execute(text("UPDATE catalog.application SET accountable = NULL"))
        refused = await client.post(f"{url}/decisions", json=APPROVE, headers=owner)
        assert refused.json()["type"] == "urn:edulake:problem:accountable-unknown"
        assert (await client.get(f"{APPLICATIONS}?todo=true", headers=owner)).json()["items"] == []
        assert (await client.post(f"{url}/withdraw", headers=app_headers)).json()["status"] == "withdrawn"


class TestAskingAuth:
    async def ask(self, client: httpx.AsyncClient, as_subject: Headers) -> httpx.Response:
        zheng = as_subject("applicant", id="person:zheng", audience="catalog")
        body = {**WANTED, "resource_id": "api:schools", "client_id": "app-x"}
        return await client.post(APPLICATIONS, json=body, headers=zheng)

    async def test_a_client_of_another_is_refused(
        self, client: httpx.AsyncClient, app: Any, as_subject: Headers
    ) -> None:
        await reach(app, auth_that_knows(app, {"app-x": "person:other"}))
        answer = await self.ask(client, as_subject)
        assert (answer.status_code, answer.json()["where"]) == (403, "body.client_id")

    async def test_the_silence_of_auth_refuses(
        self, client: httpx.AsyncClient, app: Any, as_subject: Headers
    ) -> None:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        for silent in (refuse, lambda _: httpx.Response(502)):
            await reach(app, httpx.MockTransport(silent))
            assert (await self.ask(client, as_subject)).status_code == 503


class TestWords:
    """Chinese sentences hold Chinese words."""

    async def test_who_decides_and_what_has_a_result_and_which_district(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any, security: Any
    ) -> None:
        body = {**WANTED, "resource_id": "api:schools", "client_id": "demo-app"}
        strange = {**body, "districts": ["999999", "310115"]}
        told = (await client.post(APPLICATIONS, json=strange, headers=app_headers)).json()["detail"]
        assert told.startswith("没有行政区划 999999 / ")
        entered = (await client.post(APPLICATIONS, json=body, headers=app_headers)).json()
        url = f"{APPLICATIONS}/{entered['id']}/decisions"
        told = (await client.post(url, json=APPROVE, headers=security)).json()["detail"]
        assert told.startswith("当前环节由数据责任人或审批人审批 / ")
        await client.post(url, json=APPROVE, headers=owner)
        told = (await client.post(url, json=APPROVE, headers=owner)).json()["detail"]
        assert told.startswith("申请已有结果：已批准 / ")


def auth_that_knows(app: Any, owners: dict[str, str]) -> httpx.AsyncBaseTransport:
    """The answers of auth about clients, for callers with a context signed for it."""
    auth, key = FastAPI(), app.state.resources.settings.internal_key

    @auth.get("/api/auth/clients/{client_id}")
    async def one(client_id: str, request: Request) -> dict[str, Any]:
        ContextVerifier(key, "auth").verify(request.headers[HEADER])
        return {"client_id": client_id, "owner": owners.get(client_id)}

    return httpx.ASGITransport(auth)
