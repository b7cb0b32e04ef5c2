"""Dead letters through the gateway: an administrator sees them and has them handled again."""

from typing import Any

import asyncpg
import pytest
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.limits import BusLimits
from edulake.common.db import Database
from edulake.common.events import Event, RawBatchWithdrawn, new_event_id

PATH = "/api/gateway/dead-letters"


async def bury(database_url: str, count: int = 1, group: str = "workorder") -> list[Event]:
    """Events that the group could not handle, with a reason."""
    database = Database(database_url.replace("{role}", "edulake_workorder"))
    delivery = Delivery(database, group, {}, None, BusLimits())  # type: ignore[arg-type]
    events = []
    for number in range(count):
        facts = RawBatchWithdrawn(dataset="d", batch_id=str(number), source_id="s", by="t")
        event = Event(
            event_id=new_event_id(),
            name=facts.name,
            key="d",
            occurred_at="2026-01-02T03:04:05Z",
            producer="edulake_ingest",
            trace_id="",
            data=facts.model_dump(),
        )
        await delivery._bury(event, 5, f"ValueError at edulake.workorder:{number}")
        events.append(event)
    await database.close()
    return events


async def call(gateway: Any, issuer: Any, path: str = "", method: str = "GET", **token: Any) -> Any:
    headers = issuer.bearer("boss", **{"roles": ["system_admin"], **token})
    return await gateway.http.request(method, f"{PATH}{path}", headers=headers)


class TestList:
    async def test_the_newest_comes_first_with_its_reason(
        self, gateway: Any, issuer: Any, database_url: str
    ) -> None:
        await bury(database_url, 2)
        items = (await call(gateway, issuer)).json()["items"]
        assert [(item["consumer"], item["name"], item["key"]) for item in items] == [
            ("workorder", "raw.batch.withdrawn.v1", "d")
        ] * 2
        assert [item["reason"][-1] for item in items] == ["1", "0"]

    async def test_pages_neither_skip_nor_repeat(self, gateway: Any, issuer: Any, database_url: str) -> None:
        await bury(database_url, 5)
        first = (await call(gateway, issuer, "?limit=3")).json()
        second = (await call(gateway, issuer, f"?limit=3&cursor={first['next']}")).json()
        assert [item["reason"][-1] for item in first["items"] + second["items"]] == list("43210")
        assert second["next"] is None

    async def test_one_group_alone_can_be_asked_for(
        self, gateway: Any, issuer: Any, database_url: str
    ) -> None:
        await bury(database_url, 1, "workorder")
        await bury(database_url, 1, "catalog")
        items = (await call(gateway, issuer, "?group=catalog")).json()["items"]
        assert [item["consumer"] for item in items] == ["catalog"]

    @pytest.mark.parametrize("roles", [["security_admin"], ["audit_admin"], ["steward"], []])
    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/1"), ("POST", "/1/replay")])
    async def test_only_system_administrators_may(
        self, gateway: Any, issuer: Any, method: str, path: str, roles: list[str]
    ) -> None:
        assert (await call(gateway, issuer, path, method, roles=roles)).status_code == 403


class TestShow:
    async def test_the_event_is_told_as_it_was_announced(
        self, gateway: Any, issuer: Any, database_url: str
    ) -> None:
        (event,) = await bury(database_url)
        (letter,) = (await call(gateway, issuer)).json()["items"]
        shown = (await call(gateway, issuer, f"/{letter['id']}")).json()
        assert shown["event"]["event_id"] == str(event.event_id)
        assert shown["event"]["data"] == event.data

    @pytest.mark.parametrize(
        ("kept", "shown"),
        [
            ("null", None),
            ("[1]", None),
            ('{"n": 1e6000}', None),
            ('{"a": "%s"}' % ("x" * 10_000_000), None),
            ('{"data": null, "name": "\\u001b[2J"}', {"data": None, "name": "\x1b[2J"}),
        ],
        ids=["null", "an array", "a number of 6,000 digits", "10 MB", "no facts"],
    )
    async def test_whatever_is_kept_of_it_is_no_defect(
        self, gateway: Any, issuer: Any, database_url: str, postgres_admin_url: str, kept: str, shown: Any
    ) -> None:
        await bury(database_url)
        connection = await asyncpg.connect(postgres_admin_url)
        await connection.execute("UPDATE bus.dead_letter SET event = $1, key = '[/]'", kept)
        await connection.close()
        (letter,) = (await call(gateway, issuer)).json()["items"]
        answer = await call(gateway, issuer, f"/{letter['id']}")
        assert (answer.status_code, answer.json()["event"]) == (200, shown)
        assert (await call(gateway, issuer, f"/{letter['id']}/replay", "POST")).status_code == 202

    async def test_what_is_not_there_is_told(self, gateway: Any, issuer: Any) -> None:
        answer = await call(gateway, issuer, "/77")
        assert (answer.status_code, answer.json()["where"]) == (404, "id")


class TestReplay:
    async def test_its_group_is_asked_once(
        self, gateway: Any, issuer: Any, database_url: str, postgres_admin_url: str
    ) -> None:
        (event,) = await bury(database_url)
        (letter,) = (await call(gateway, issuer)).json()["items"]
        answer = await call(gateway, issuer, f"/{letter['id']}/replay", "POST")
        assert (answer.status_code, answer.json()["state"]) == (202, "replaying")
        assert (await call(gateway, issuer, f"/{letter['id']}/replay", "POST")).status_code == 404
        connection = await asyncpg.connect(postgres_admin_url)
        settled = await connection.fetchval(
            "SELECT count(*) FROM bus.inbox WHERE event_id = $1", event.event_id
        )
        await connection.close()
        assert settled == 0, "the group may handle it again"
