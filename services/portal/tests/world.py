"""What a test does in the suite: enter as a person, read pages, send forms, let things happen."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import httpx
from edulake.auth.person.service import meet
from edulake.catalog.handlers import list_published
from edulake.common.clock import now
from edulake.common.events import PublishedDatasetUpdated, QualityBatchAssessed, QualityRuleFailed
from edulake.workorder.handlers import on_assessment, on_failure

from .suite import NEWCOMERS, Suite


class Page(HTMLParser):
    """What a test asks of a page: hidden fields, ids, labels, names, links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "input" and found.get("type") == "hidden":
            self.hidden[found["name"]] = found["value"]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag]


@dataclass
class Person:
    """A browser of one person. Secure cookies are kept by hand: the test speaks plain http."""

    http: httpx.AsyncClient
    auth: httpx.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._send(self.http, "GET", path, headers=headers)

    async def read(self, path: str) -> str:
        """A page that must be there."""
        answer = await self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.text

    async def send(self, path: str, form: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """A form with this session's token."""
        token = Page(await self.read("/help")).hidden["csrf"]
        return await self._send(self.http, "POST", path, data={"csrf": token, **(form or {})}, **more)

    async def send_bare(self, path: str, form: dict[str, Any]) -> httpx.Response:
        return await self._send(self.http, "POST", path, data=form)

    async def log_in(self, sub: str) -> "Person":
        redirect = await self._send(self.auth, "GET", "/login?return_to=/")
        chooser = await self._send(self.auth, "GET", redirect.headers["location"])
        form = {**Page(chooser.text).hidden, "sub": sub}
        back = await self._send(self.auth, "POST", "/dev-issuer/authorize", data=form)
        done = await self._send(self.auth, "GET", back.headers["location"])
        assert done.headers["location"] == "/", done.text
        return self

    async def _send(self, http: httpx.AsyncClient, method: str, address: str, **more: Any) -> httpx.Response:
        parts = urlsplit(address)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**more.pop("headers", {}), "cookie": cookie}
        answer = await http.request(method, path, headers=headers, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.split(";")[0].strip('"')
        return answer


class World:
    """The services that answer, and what can happen in them."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.portal = suite.portal
        self.settings = suite.settings
        door = httpx.ASGITransport(app=suite.portal, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=door, base_url=suite.settings.issuer)
        self.auth = httpx.AsyncClient(transport=suite.network, base_url=suite.settings.service_url("auth"))

    async def close(self) -> None:
        await self.http.aclose()
        await self.auth.aclose()

    def stop(self, service: str) -> None:
        """The service is down from now on."""
        del self.suite.network.apps[self.settings.service_port(service)]

    def resources_of(self, service: str) -> Any:
        return self.suite.apps[service].state.resources

    async def enter(self, sub: str, *, anew: bool = False) -> Person:
        """A browser in which this person is logged in; `anew`: in a session of its own."""
        if anew:
            return await self.stranger().log_in(sub)
        if sub not in self.suite.cookies:
            self.suite.cookies[sub] = (await self.stranger().log_in(sub)).cookies
        return Person(self.http, self.auth, dict(self.suite.cookies[sub]))

    def stranger(self) -> Person:
        return Person(self.http, self.auth)

    async def token(self, client_id: str, secret: str) -> int:
        """The status of auth's answer when a program asks for a token with this secret."""
        form = {"grant_type": "client_credentials"}
        return (await self.auth.post("/oauth/token", data=form, auth=(client_id, secret))).status_code

    async def call(
        self, method: str, address: str, body: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Response:
        """One call of a service from inside."""
        async with httpx.AsyncClient(transport=self.suite.network) as http:
            return await http.request(method, address, json=body, headers=headers)

    async def publish(self, dataset: str, level: int, rows: int = 1200) -> None:
        resources = self.resources_of("catalog")
        facts = PublishedDatasetUpdated(
            dataset=dataset,
            title=resources.standards.datasets[dataset].title,
            version=1,
            governed_version=1,
            batch_id="b1",
            row_count=rows,
            content_digest="d",
            level=level,
            rolled_back=False,
            published_at=now(),
        )
        async with resources.database.transaction() as session:
            await list_published(session, facts, None, resources)  # type: ignore[arg-type]

    async def note_person(self, name: str = "孙新人") -> str:
        """Somebody new has come from the provider and waits; his id, a digest as in production."""
        resources = self.resources_of("auth")
        async with resources.database.transaction() as session:
            person = await meet(session, resources.settings, issuer=NEWCOMERS, subject=name, name=name)
            return str(person.id)

    async def know_source(self, source: str, contact: str = "person:wu-contact") -> None:
        """A source is registered, as far as it matters whose it is."""
        await self.suite.as_admin(
            "INSERT INTO ingest.source (id, title, organisation, contact, authority, datasets, mapping, defaults, "
            f"status, revision, created_at, updated_at) VALUES ('{source}', '第三方名册', '示范区教育局', '{contact}', "
            "10, '{school_base,student_base}', '{}', '{}', 'active', 1, now(), now()) ON CONFLICT DO NOTHING"
        )

    async def fail_rule(self, source: str = "roster-b") -> None:
        await self.know_source(source)
        resources = self.resources_of("workorder")
        facts = QualityRuleFailed(
            dataset="school_base",
            batch_id="b1",
            source_id=source,
            contact="person:wu-contact",
            organisation="示范区教育局",
            rule_id="district_code.known",
            rule_title="所属区不在代码表中",
            field="district_code",
            severity="error",
            dimension="规范性",
            failed_rows=3,
            checked_rows=1200,
            examples=["东*区"],
        )
        async with resources.database.transaction() as session:
            await on_failure(session, facts, None, resources)  # type: ignore[arg-type]

    async def prove(self, batch_id: str, source: str = "roster-b") -> None:
        """A later batch in which the rule of `fail_rule` passes."""
        resources = self.resources_of("workorder")
        rule = {"rule_id": "district_code.known", "field": "district_code"}
        facts = QualityBatchAssessed.model_validate(
            {
                "dataset": "school_base",
                "batch_id": batch_id,
                "source_id": source,
                "contact": "person:wu-contact",
                "organisation": "示范区教育局",
                "outcome": "governed",
                "rules": [{**rule, "failed_rows": 0, "checked_rows": 1200}],
            }
        )
        async with resources.database.transaction() as session:
            await on_assessment(session, facts, None, resources)  # type: ignore[arg-type]

    async def fill(self) -> None:
        """A full world: resources of every level and one order."""
        for dataset, level in (("school_base", 2), ("student_base", 4), ("senior_quota", 1)):
            await self.publish(dataset, level)
        await self.fail_rule()

    async def apply(self, person: Person, resource: str = "api:schools", **over: Any) -> httpx.Response:
        """Register an app if there is none, and apply for the resource with it."""
        return await person.send(f"/resources/{resource}/apply", await self.typed(person, resource, **over))

    async def grant_schools(self) -> Person:
        """The applicant, whose application for schools the owner has approved."""
        applicant, owner = await self.enter("zheng-applicant"), await self.enter("zhou-owner")
        await self.apply(applicant)
        page = Page(await owner.read("/applications/todo"))
        path = next(one["action"] for one in page.all("form") if one["action"].endswith("/decision"))
        assert (await owner.send(path, {"decision": "approve"})).status_code == 303
        return applicant

    async def put_to_use(self) -> None:
        """A grant that is used, an application that waits, a resource that is followed."""
        applicant = await self.grant_schools()
        assert (await self.apply(applicant, "api:student")).status_code == 303
        await applicant.send("/resources/api:schools/follow", {"follow": "yes"})

    async def typed(self, person: Person, resource: str, **over: Any) -> dict[str, Any]:
        """A form filled in as the applicant's page offers it."""
        page = Page(await person.read(f"/resources/{resource}/apply"))
        if not [one for one in page.all("option") if one["value"].startswith("app-")] and not page.all(
            "select"
        ):
            made = await person.send("/apps", {"name": "学区地图"})
            assert made.status_code == 200, made.text
            page = Page(await person.read(f"/resources/{resource}/apply"))
        form = {
            "client_id": page.all("option")[0]["value"],
            "purpose": "学区地图展示学校位置",
            "scenario": "市民查询附近学校",
            "columns": ["school_name"] if resource == "api:schools" else [],
            "districts": ["310115"],
            "days": "30",
            "promises": "yes",
        }
        return {**form, **over}
