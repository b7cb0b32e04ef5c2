"""Who may do what, called from outside: every route, every kind of subject, own, foreign and former.

What is expected comes from the table (`edulake.common.policy`) and from the facts of this little world alone; the
suite is asked through the gateway, with tokens. A route that is not called here fails the test.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from edulake.common.identity import Subject, policy_of
from edulake.common.policy import TABLE, Facts, could, may, row
from edulake.common.policy.relations import ANYONE
from edulake.common.standards.contract import Owner
from fastapi.routing import APIRoute, iter_route_contexts

if TYPE_CHECKING:
    from conftest import Suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CENTRE, ELSEWHERE = "市教育委员会信息中心", "乙区教育局"
ZHOU = "person:zhou-owner"
HEAD = "学校代码,学校名称,所属区,学段"
SETTLED = ("published", "quarantined", "refused", "superseded")
#: The subjects: a program each, with its roles, its organisation, and the person it belongs to.
SUBJECTS: dict[str, tuple[tuple[str, ...], str, str | None]] = {
    "steward": (("steward",), CENTRE, None),
    "owner": (("owner",), CENTRE, None),
    "owner-foreign": (("owner",), ELSEWHERE, None),
    "owner-program": (("owner",), ELSEWHERE, ZHOU),
    "approver": (("approver",), CENTRE, None),
    "approver-foreign": (("approver",), ELSEWHERE, None),
    "contact": (("source_contact",), ELSEWHERE, None),
    "contact-foreign": (("source_contact",), ELSEWHERE, None),
    "contact-former": (("source_contact",), ELSEWHERE, None),
    "contact-unroled": ((), ELSEWHERE, None),
    "applicant": (("applicant",), ELSEWHERE, None),
    "applicant-foreign": (("applicant",), ELSEWHERE, None),
    "grantee": (("applicant",), ELSEWHERE, None),
    "nobody": ((), CENTRE, None),
}
ADMINISTRATORS = {
    "system_admin": "demo-system",
    "security_admin": "demo-security",
    "audit_admin": "demo-audit",
}


def file_of(number: int) -> bytes:
    """Thirty schools, one of them without a name: held back, a finding, an order."""
    rows = [f"{number:02}{row:04},上海市求真{number}{row:02}中学,宝山区,初中" for row in range(30)]
    return "\n".join([HEAD, *rows, f"{number:02}9999,,宝山区,初中", ""]).encode()


def id_of(name: str) -> str:
    return f"client:m-{name}" if name in SUBJECTS else f"client:{ADMINISTRATORS[name]}"


def subject_of(name: str) -> Subject:
    """A subject as its token says."""
    roles, organisation, owner = SUBJECTS.get(name) or ((name,), CENTRE, None)
    of, kind = id_of(name), "client"
    return Subject(
        id=of,
        kind=kind,
        name=name,
        roles=frozenset(roles),
        organisation=organisation,
        accountable=owner or of,
    )


class World:
    """Two sources of two contacts deliver schools; one of the sources had another contact before."""

    def __init__(self, suite: "Suite") -> None:
        self.suite = suite
        self.http = httpx.Client(base_url=suite.state.public_url, timeout=60, trust_env=False)
        self.secrets: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.steward, self.system, self.security, self.owner = (
            suite.gateway(name) for name in ("edulake-cli", "demo-system", "demo-security", "demo-owner")
        )
        self.ids: dict[str, Any] = {}

    def fill(self) -> None:
        for name, (roles, organisation, owner) in SUBJECTS.items():
            self._register(f"m-{name}", roles, organisation, owner)
        self._register("m-dummy", (), CENTRE, None)
        self._register("m-unroled-now", ("source_contact",), ELSEWHERE, None)
        for source, contact in (
            ("mx-a", "contact-former"),
            ("mx-b", "contact-foreign"),
            ("mx-c", "contact-unroled"),
        ):
            self.source(source, id_of(contact))
        self.ids["batch"] = self.deliver("mx-a", 1)
        self.ids["foreign"] = self.deliver("mx-b", 2)
        self.ids["unroled"] = self.deliver("mx-c", 3)
        self.source("mx-a", id_of("contact"))
        orders = self.steward.call("GET", "/api/workorder/orders?limit=200")["items"]
        self.ids["order"] = next(one["id"] for one in orders if one["source_id"] == "mx-a")
        self._apply()

    def _register(self, client: str, roles: tuple[str, ...], organisation: str, owner: str | None) -> None:
        body = {"client_id": client, "name": client, "organisation": organisation, "owner": owner}
        self.secrets[client] = self.system.call("POST", "/api/auth/clients", json=body)["client_secret"]
        if roles:
            given = {"roles": list(roles), "reason": "matrix"}
            self.security.call("POST", f"/api/auth/clients/{client}/roles", json=given)

    def source_body(self, contact: str) -> dict[str, Any]:
        return {"title": "名册", "organisation": ELSEWHERE, "contact": contact, "datasets": ["school_base"]}

    def source(self, source: str, contact: str) -> None:
        body = self.source_body(contact)
        answer = self.steward.send("POST", "/api/ingest/sources", json={"id": source, **body})
        if answer.status_code == 409:
            answer = self.steward.send("PUT", f"/api/ingest/sources/{source}", json=body)
        assert answer.is_success, answer.text

    def deliver(self, source: str, number: int) -> str:
        files = {"file": (f"{number}.csv", file_of(number))}
        path = f"/api/ingest/sources/{source}/datasets/school_base/deliveries"
        answer = self.steward.send("POST", path, files=files, data={"period": "2024"})
        assert answer.status_code == 202, answer.text
        batch = str(answer.json()["batch_id"])
        self.suite.wait_for(
            lambda: self.steward.call("GET", f"/api/ingest/batches/{batch}")["status"] in SETTLED,
            f"batch {batch}",
        )
        return batch

    def _apply(self) -> None:
        """One application that waits for its owner's step, and one that became a grant."""
        self.suite.wait_for(
            lambda: self.owner.send("GET", "/api/catalog/resources/api:schools").status_code == 200,
            "api:schools",
        )
        for name in ("applicant", "grantee"):
            body = self.application(name)
            made = self.call(name, "POST", "/api/catalog/applications", json=body)
            assert made.status_code == 201, made.text
            self.ids[f"application-{name}"] = made.json()["id"]
        path = f"/api/catalog/applications/{self.ids['application-grantee']}/decisions"
        done = self.owner.call("POST", path, json={"decision": "approve", "reason": "同意"})
        self.ids["grant"] = done["grant_id"]

    def application(self, name: str) -> dict[str, Any]:
        client = id_of(name).removeprefix("client:")
        text = {"purpose": "核对学校名单与代码", "scenario": "每月核对一次学校名单"}
        return {"resource_id": "api:schools", "client_id": client, "days": 30, "promises": True, **text}

    def token(self, name: str) -> str:
        if name not in self.tokens:
            client = id_of(name).removeprefix("client:")
            if name in ADMINISTRATORS:
                self.tokens[name] = self.suite.gateway(client).token()
            else:
                auth = (client, self.secrets[client])
                answer = self.http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=auth)
                self.tokens[name] = answer.json()["access_token"]
        return self.tokens[name]

    def call(self, name: str | None, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(name)}"} if name else {}
        return self.http.request(method, path, headers=headers, **options)


@pytest.fixture(scope="module")
def world(open_suite: Callable[..., "Suite"]) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDULAKE_SERVICE_RATE_PER_S", "10000")
        patch.setenv("EDULAKE_OWN_RATE_PER_S", "10000")
        made = World(open_suite())
        made.fill()
        yield made
        made.http.close()


FINDINGS, QUARANTINE = (
    "/api/governance/batches/{batch}/findings",
    "/api/governance/batches/{batch}/quarantine",
)
OF_BATCH = (
    FINDINGS,
    QUARANTINE,
    "/api/governance/batches/{batch}/quality",
    "/api/governance/runs/{batch}",
    "/api/ingest/batches/{batch}",
    "/api/ingest/sources/mx-a",
    "/api/workorder/orders/{order}",
)
LISTS = ("/api/governance/runs", "/api/ingest/batches", "/api/ingest/sources", "/api/workorder/orders")


def seen(world: World, name: str) -> tuple[set[int], int]:
    """The statuses of what there is of source mx-a, and how much of all lists a subject is shown."""
    statuses = {world.call(name, "GET", path.format(**world.ids)).status_code for path in OF_BATCH}
    pages = [world.call(name, "GET", f"{path}?limit=200") for path in LISTS]
    return statuses, sum(len(page.json()["items"]) for page in pages if page.status_code == 200)


class TestFindings:
    """The findings of the review of December 2026, each with its request."""

    def test_a1_an_owner_of_another_house_rolls_nothing_back(self, world: World) -> None:
        versions = {one["dataset"]: one for one in world.steward.call("GET", "/api/gateway/publications")}
        now = versions["school_base"]["current"]
        path = "/api/gateway/publications/school_base/rollback"
        refused = world.call("owner-foreign", "POST", path, json={"version": 1})
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:edulake:problem:forbidden")
        after = {one["dataset"]: one for one in world.steward.call("GET", "/api/gateway/publications")}
        assert after["school_base"]["current"] == now
        restored = world.call(
            "owner-foreign", "POST", "/api/governance/datasets/school_base/restore", json={"version": 1}
        )
        assert restored.status_code == 403

    def test_a2_an_owner_of_another_house_sees_nothing_of_it(self, world: World) -> None:
        assert seen(world, "owner-foreign") == ({404}, 0)
        quality = world.call("owner-foreign", "GET", "/api/governance/datasets/school_base/quality")
        usage = world.call("owner-foreign", "GET", "/api/gateway/usage?client_id=m-grantee")
        assert (quality.status_code, usage.status_code) == (404, 403)
        assert world.call("owner-foreign", "GET", "/api/governance/quality").json() == []
        own, listed = seen(world, "owner")
        assert (own, listed > 0) == ({200}, True)

    @pytest.mark.parametrize(
        "assignee", ["client:m-contact-foreign", "person:does-not-exist", "client:m-contact-former"]
    )
    def test_a2_an_order_goes_to_nobody_who_may_not_work_on_it(self, world: World, assignee: str) -> None:
        path = f"/api/workorder/orders/{world.ids['order']}/assign"
        assert world.call("owner-foreign", "POST", path, json={"assignee": assignee}).status_code == 404
        answer = world.call("owner", "POST", path, json={"assignee": assignee})
        assert (answer.status_code, answer.json()["where"]) == (422, "body.assignee")

    def test_a3_a_former_contact_sees_nothing_and_the_new_one_all(self, world: World) -> None:
        assert seen(world, "contact-former") == ({404}, 0)
        statuses, listed = seen(world, "contact")
        assert (statuses, listed > 0) == ({200}, True)
        path = f"/api/workorder/orders/{world.ids['order']}/resolve"
        assert world.call("contact-former", "POST", path, json={"note": "已改"}).status_code == 404

    def test_a3_a_contact_whose_role_is_taken_away_sees_nothing_any_more(self, world: World) -> None:
        client = "m-unroled-now"
        world.source("mx-d", f"client:{client}")
        batch = world.deliver("mx-d", 4)
        path = FINDINGS.format(batch=batch)
        form, auth = {"grant_type": "client_credentials"}, (client, world.secrets[client])

        def ask() -> int:
            given = world.http.post("/oauth/token", data=form, auth=auth)
            if not given.is_success:
                return given.status_code
            token = given.json()["access_token"]
            return world.http.get(path, headers={"Authorization": f"Bearer {token}"}).status_code

        assert ask() == 200
        body = {"roles": [], "reason": "离任"}
        world.security.call("POST", f"/api/auth/clients/{client}/roles", json=body)
        # No token is given (503) until one counts as issued after the withdrawal; never is anything shown.
        statuses: list[int] = []
        world.suite.wait_for(
            lambda: statuses.append(ask()) or statuses[-1] not in (200, 401, 503), "a token without the role"
        )
        assert set(statuses[1:]) <= {401, 403, 503}
        assert statuses[-1] == 403

    def test_a3_a_bare_name_or_nobody_is_no_contact(self, world: World) -> None:
        for contact in ("zheng-applicant", "吴报送", "person:does-not-exist"):
            body = {"id": "mx-e", **world.source_body(contact)}
            answer = world.call("steward", "POST", "/api/ingest/sources", json=body)
            assert (answer.status_code, answer.json()["where"]) == (422, "body.contact")

    @pytest.mark.parametrize("name", ["system_admin", "security_admin", "approver"])
    def test_l1_an_office_without_business_sees_none(self, world: World, name: str) -> None:
        assert seen(world, name) == ({403}, 0)


#: The facts of the things in this world, told by who made them.
_DATASET = {"owners": (Owner(organisation=CENTRE, contact=ZHOU),)}
THINGS: dict[str, Facts] = {
    "dataset": Facts(**_DATASET),
    "source": Facts(**_DATASET, contact="client:m-contact"),
    "application": Facts(**_DATASET, own=frozenset({"client:m-applicant"}), accountable="client:m-applicant"),
    "grant": Facts(
        **_DATASET, own=frozenset({"client:m-grantee"}), deciders=frozenset({"client:demo-owner"})
    ),
    "usage": Facts(**_DATASET, own=frozenset({"client:m-grantee"})),
    "client": Facts(own=frozenset({"client:m-dummy"}), accountable=None),
    "session": Facts(own=frozenset({"person:somebody"})),
}
Passes = Callable[[httpx.Response], bool]


def carried_out(answer: httpx.Response) -> bool:
    """Whoever gets so far may do it: done, or not possible just now, or worded wrongly."""
    return answer.is_success or answer.status_code in (400, 409, 422)


def absent(words: str) -> Passes:
    """Allowed, and then there is no such part: told in other words than the thing's own absence."""
    return lambda answer: answer.status_code == 404 and words in answer.text


@dataclass(frozen=True)
class Op:
    """One route and how it is called; `thing`: whose facts decide, none where the role alone does."""

    thing: str | None = None
    path: str = ""  # where it differs from the template filled with the world's ids
    body: Callable[[World, str], Any] | Any = None
    passes: Passes = carried_out
    #: What is refused although it is seen (or never hidden): else by the table's rule.
    refused: int | None = None
    #: A line that decides beside the route's own.
    line: tuple[str, str] | None = None
    #: For lists: the id that a page of those who may read the thing holds.
    shows: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def current(world: World) -> int:
    published = {one["dataset"]: one for one in world.steward.call("GET", "/api/gateway/publications")}
    return int(published["school_base"]["current"])


def governed(world: World) -> int:
    return int(world.steward.call("GET", "/api/governance/datasets/school_base")["newest"]["version"])


_FILES = {"file": ("1.csv", file_of(1))}
_FIGURES = {"rows_before": 1, "rows_after": 1, "keys_lost": 0}
_ROLES = {"roles": ["applicant"], "reason": "matrix"}
A, B, C, G, W, S = (
    "/api/auth",
    "/api/governance",
    "/api/catalog",
    "/api/gateway",
    "/api/workorder",
    "/api/ingest",
)
#: In the order they are called; what ends something comes last.
OPS: dict[str, Op] = {
    f"GET {A}/me": Op(),
    f"GET {A}/sessions": Op(),
    f"DELETE {A}/sessions": Op(),
    f"DELETE {A}/sessions/{{session_id}}": Op("session", path=f"{A}/sessions/{uuid4()}"),
    f"GET {A}/clients": Op("client", shows="m-dummy"),
    f"GET {A}/clients/{{client_id}}": Op("client", path=f"{A}/clients/m-dummy"),
    f"POST {A}/clients": Op(body={"client_id": "m-made", "name": "m-made", "organisation": CENTRE}),
    f"POST {A}/clients/{{client_id}}/roles": Op(path=f"{A}/clients/m-dummy/roles", body=_ROLES),
    f"POST {A}/clients/{{client_id}}/secrets": Op("client", path=f"{A}/clients/m-dummy/secrets"),
    f"DELETE {A}/clients/{{client_id}}/secrets/{{secret_id}}": Op(
        "client", path=f"{A}/clients/m-dummy/secrets/{uuid4()}", passes=absent("no such secret")
    ),
    f"PUT {A}/clients/{{client_id}}/keys": Op("client", path=f"{A}/clients/m-dummy/keys", body={"keys": []}),
    f"POST {A}/clients/{{client_id}}/disable": Op(path=f"{A}/clients/m-dummy/disable"),
    f"POST {A}/clients/{{client_id}}/enable": Op(path=f"{A}/clients/m-dummy/enable"),
    f"POST {A}/revocations": Op(body={"client_id": "m-dummy", "reason": "matrix"}),
    f"GET {A}/apps": Op(),
    f"POST {A}/apps": Op(body={"name": "应用"}, passes=lambda answer: "only a person" in answer.text),
    f"GET {A}/people": Op(),
    f"GET {A}/people/contacts": Op(),
    f"GET {A}/people/{{person_id}}": Op(path=f"{A}/people/{ZHOU}"),
    f"POST {A}/people/{{person_id}}/roles": Op(path=f"{A}/people/person:zheng-applicant/roles", body=_ROLES),
    f"POST {A}/people/{{person_id}}/disable": Op(path=f"{A}/people/person:zheng-applicant/disable"),
    f"POST {A}/people/{{person_id}}/admit": Op(path=f"{A}/people/person:zheng-applicant/admit", body={}),
    f"GET {A}/role-changes": Op(),
    f"GET {A}/trail": Op(),
    f"GET {C}/resources": Op(),
    f"GET {C}/resources/{{resource_id}}": Op(path=f"{C}/resources/api:schools"),
    f"GET {C}/resources/{{resource_id}}/sample": Op(path=f"{C}/resources/api:schools/sample"),
    f"GET {C}/sandbox/{{api}}": Op(path=f"{C}/sandbox/schools"),
    f"GET {C}/summary": Op(),
    f"GET {C}/favourites": Op(),
    f"PUT {C}/favourites/{{resource_id}}": Op(path=f"{C}/favourites/api:schools"),
    f"DELETE {C}/favourites/{{resource_id}}": Op(path=f"{C}/favourites/api:schools"),
    f"POST {C}/applications": Op(body=World.application),
    f"GET {C}/applications": Op(),
    f"GET {C}/applications/{{application_id}}": Op("application"),
    f"GET {C}/applications/{{application_id}}/pack": Op("application"),
    f"POST {C}/applications/{{application_id}}/decisions": Op(
        "application",
        body={"decision": "refuse", "reason": ""},
        line=("application.owner_step", "decide"),
    ),
    f"GET {C}/grants": Op("grant", shows="{grant}"),
    f"GET {C}/grants/{{grant_id}}": Op("grant"),
    f"POST {S}/sources": Op(body=lambda world, _: {"id": "mx-a", **world.source_body("client:m-contact")}),
    f"GET {S}/sources": Op("source", shows="mx-a"),
    f"GET {S}/sources/{{source}}": Op("source"),
    f"PUT {S}/sources/{{source}}": Op(body=lambda world, _: world.source_body("client:m-contact")),
    f"GET {S}/sources/{{source}}/history": Op(),
    f"POST {S}/sources/{{source}}/datasets/{{dataset}}/deliveries": Op(
        "source", options={"files": _FILES, "data": {"period": "2024"}}
    ),
    f"POST {S}/sources/{{source}}/datasets/{{dataset}}/rows": Op(
        "source", body={"period": "2024", "rows": []}
    ),
    f"GET {S}/batches": Op("source", shows="{batch}"),
    f"GET {S}/batches/{{batch_id}}": Op("source"),
    f"POST {S}/batches/{{batch_id}}/confirm": Op(
        "source", body={"batch_id": None, "rows_before": None, "rows_after": 31}
    ),
    f"POST {S}/batches/{{batch_id}}/withdraw": Op("source"),
    f"GET {S}/summary": Op(),
    f"GET {B}/runs": Op("source", shows="{batch}"),
    f"GET {B}/runs/{{run_id}}": Op("source"),
    f"GET {B}/summary": Op(),
    f"GET {B}/datasets": Op(),
    f"GET {B}/datasets/{{dataset}}": Op(),
    f"GET {B}/datasets/{{dataset}}/versions": Op(),
    f"POST {B}/datasets/{{dataset}}/restore": Op(
        "dataset", body=lambda world, _: {"version": governed(world)}
    ),
    f"GET {B}/datasets/{{dataset}}/template.csv": Op(),
    f"GET {B}/datasets/{{dataset}}/aliases": Op(),
    f"PUT {B}/datasets/{{dataset}}/aliases": Op(body={"alias": "求真", "key": "k"}),
    f"GET {B}/quality": Op(),
    f"GET {B}/datasets/{{dataset}}/quality": Op("dataset"),
    f"GET {B}/batches/{{batch_id}}/quality": Op("source"),
    f"GET {B}/batches/{{batch_id}}/findings": Op("source"),
    f"GET {B}/batches/{{batch_id}}/quarantine": Op("source"),
    f"POST {B}/batches/{{batch_id}}/values": Op("source", body={"rows": [32]}),
    f"POST {B}/batches/{{batch_id}}/agree": Op("source", body=_FIGURES),
    f"POST {B}/batches/{{batch_id}}/refuse": Op("source", body={**_FIGURES, "reason": "不完整"}),
    f"GET {W}/orders": Op("source", shows="{order}"),
    f"GET {W}/orders/{{order_id}}": Op("source"),
    f"POST {W}/orders/{{order_id}}/assign": Op("source", body={"assignee": "client:m-contact"}),
    f"POST {W}/orders/{{order_id}}/take": Op("source"),
    f"POST {W}/orders/{{order_id}}/resolve": Op("source", body={"note": "已改正"}),
    f"POST {W}/orders/{{order_id}}/comment": Op("source", body={"text": "看过"}),
    f"GET {W}/summary": Op(),
    f"GET {G}/apis": Op(),
    f"GET {G}/apis/{{name}}": Op(path=f"{G}/apis/schools"),
    f"GET {G}/openapi/{{name}}.json": Op(path=f"{G}/openapi/schools.json"),
    f"GET {G}/publications": Op(),
    f"POST {G}/publications/{{dataset}}/rollback": Op(
        "dataset", body=lambda world, _: {"version": current(world)}
    ),
    f"POST {G}/publications/{{dataset}}/release": Op("dataset", body={"governed_version": 1, "row_count": 1}),
    f"POST {G}/publications/{{dataset}}/retry": Op(),
    f"GET {G}/audit": Op(),
    f"GET {G}/audit/verify": Op(),
    f"GET {G}/quotas": Op(),
    f"PUT {G}/quotas/{{client_id}}/{{api}}": Op(
        path=f"{G}/quotas/m-dummy/schools", body={"rate_per_s": 1, "day_quota": 1, "month_quota": 1}
    ),
    f"DELETE {G}/quotas/{{client_id}}/{{api}}": Op(path=f"{G}/quotas/m-dummy/schools"),
    f"GET {G}/usage": Op("usage", path=f"{G}/usage?client_id=m-grantee", refused=403),
    f"GET {G}/usage/today": Op(path=f"{G}/usage/today?client_id=m-grantee"),
    f"GET {G}/summary": Op(),
    f"GET {G}/dead-letters": Op(),
    f"GET {G}/dead-letters/{{id}}": Op(path=f"{G}/dead-letters/999", passes=absent("")),
    f"POST {G}/dead-letters/{{id}}/replay": Op(path=f"{G}/dead-letters/999/replay", passes=absent("")),
    f"POST {B}/batches/{{batch_id}}/reprocess": Op("source"),
    f"POST {C}/applications/{{application_id}}/withdraw": Op("application"),
    f"POST {C}/grants/{{grant_id}}/revoke": Op("grant", body={"reason": "用途结束"}),
}
SERVICES = ("auth", "catalog", "ingest", "governance", "workorder", "share_gateway", "portal")


def lines() -> dict[str, tuple[str, str]]:
    """Every route of every service and the line of the table it names."""
    found = {}
    for service in SERVICES:
        app = importlib.import_module(f"edulake.{service}.app").create_app()
        for route in iter_route_contexts(getattr(app, "service", app).routes):
            if isinstance(route.original_route, APIRoute):
                kind, _, verb = str(policy_of(route)).partition(":")
                for method in route.methods or ():
                    found[f"{method} {route.path}"] = (kind, verb)
    return found


def expected(name: str, op: Op, line: tuple[str, str]) -> int | None:
    """The status a refusal has, or None: allowed."""
    subject = subject_of(name)
    if not could(subject, *line):
        return 403
    if op.thing is None or op.shows:
        return None
    facts = THINGS[op.thing]
    kind, verb = op.line or line
    if may(subject, kind, verb, facts):
        return None
    if op.refused:
        return op.refused
    kind = line[0]
    is_seen = line[1] != "read" and "read" in TABLE[kind].verbs and may(subject, kind, "read", facts)
    return 403 if is_seen else 404


@dataclass
class Matrix:
    """The calls made and what was not as expected."""

    calls: int = 0
    surprises: list[str] = field(default_factory=list)

    def note(self, cell: str, wanted: object, got: object, *, is_so: bool) -> None:
        self.calls += 1
        if not is_so:
            self.surprises.append(f"{cell}: expected {wanted}, got {got}")


def filled(world: World, template: str) -> str:
    ids = {
        "application_id": world.ids["application-applicant"],
        "grant_id": world.ids["grant"],
        "batch_id": world.ids["batch"],
        "run_id": world.ids["batch"],
        "order_id": world.ids["order"],
        "source": "mx-a",
        "dataset": "school_base",
    }
    return template.format(**ids)


def try_one(world: World, matrix: Matrix, name: str, route: str, op: Op, line: tuple[str, str]) -> None:
    method, template = route.split(" ", 1)
    body = op.body(world, name) if callable(op.body) else op.body
    options = dict(op.options) if body is None else {"json": body}
    answer = world.call(name, method, op.path or filled(world, template), **options)
    wanted, cell = expected(name, op, line), f"{name} {route}"
    if wanted is not None:
        matrix.note(
            cell, wanted, f"{answer.status_code} {answer.text[:200]}", is_so=answer.status_code == wanted
        )
        return
    matrix.note(cell, "allowed", f"{answer.status_code} {answer.text[:200]}", is_so=op.passes(answer))
    if op.shows and op.thing and answer.is_success:
        shown = op.shows.format(**world.ids) in answer.text
        shall = may(subject_of(name), *line, THINGS[op.thing])
        matrix.note(f"{cell} lists it", shall, shown, is_so=shown == shall)


class TestMatrix:
    def test_every_subject_gets_of_every_route_what_the_table_says(
        self, world: World, record_property: Callable[[str, object], None]
    ) -> None:
        matrix, named = Matrix(), lines()
        for route, op in OPS.items():
            method, template = route.split(" ", 1)
            unknown = world.call(None, method, op.path or filled(world, template))
            matrix.note(
                f"without a token {route}", 401, unknown.status_code, is_so=unknown.status_code == 401
            )
            for name in (*SUBJECTS, *ADMINISTRATORS):
                try_one(world, matrix, name, route, op, named[route])
        record_property("cells", len(OPS) * (len(SUBJECTS) + len(ADMINISTRATORS) + 1))
        record_property("calls", matrix.calls)
        record_property("surprises", len(matrix.surprises))
        assert matrix.surprises == []

    def test_no_route_is_left_out(self) -> None:
        """What is called here, what is for anybody, the portal's pages, and what nobody outside reaches."""
        named = lines()
        for route, (kind, verb) in named.items():
            assert ANYONE in row(kind, verb) or kind == "page" or route in OPS or "/internal/" in route, route
        assert set(OPS) <= set(named)

    def test_every_line_of_the_table_is_some_routes_or_some_pages(self) -> None:
        of_steps = {("application.owner_step", "decide"), ("application.security_admin_step", "decide")}
        of_panels = {("page.deliveries", "show"), ("page.calls", "show")}
        of_parts = {("batch.filename", "read"), ("batch.values", "open_whole")}
        there = {(kind, verb) for kind, of in TABLE.items() for verb in of.verbs}
        assert set(lines().values()) | of_steps | of_panels | of_parts == there

    def test_what_is_inside_is_not_there_outside(self, world: World) -> None:
        for route, line in lines().items():
            method, path = route.split(" ", 1)
            if "/internal/" in path:
                assert line[0] in ("session", "subject", "source.contact")
                for name in ("steward", "system_admin"):
                    assert world.call(name, method, path.format(subject_id=ZHOU)).status_code == 404

    def test_a_page_without_a_session_leads_to_the_login(self, world: World) -> None:
        for route, (kind, _) in lines().items():
            method, path = route.split(" ", 1)
            if kind == "page" and method == "GET" and "{" not in path:
                assert world.call(None, method, path).headers["location"].startswith("/login"), path
