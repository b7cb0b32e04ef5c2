"""Grants: what they open, what they do not, and how fast a change is everywhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from edulake.common.bus import BusLimits, announce
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.leader import leadership
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.events import (
    AccessClientChanged,
    AccessGrantChanged,
    AccessTokenRevoked,
    Event,
    new_event_id,
)
from edulake.share_gateway.grant import follower
from edulake.share_gateway.grant.repository import put_grant
from edulake.share_gateway.stages import approval
from sqlalchemy import text

Give = Callable[..., Awaitable[Any]]
CALL = "/share/v1/schools"


async def status(gateway: Any, issuer: Any, path: str = CALL, **token: Any) -> int:
    answer = await gateway.http.get(path, headers=issuer.bearer(**token))
    return int(answer.status_code)


async def until_status(expected: int, gateway: Any, issuer: Any, **token: Any) -> None:
    """Return as soon as the gateway answers so by itself."""
    async with asyncio.timeout(60):
        while await status(gateway, issuer, **token) != expected:
            await asyncio.sleep(0.02)


class TestWhatAGrantOpens:
    @pytest.mark.parametrize(
        ("over", "expected"),
        [
            ({}, 200),
            ({"status": "revoked"}, 403),
            ({"status": "expired"}, 403),
            ({"valid_until": now() - timedelta(seconds=1)}, 403),
            ({"valid_from": now() + timedelta(days=1)}, 403),
            ({"purpose": " "}, 403),
            ({"columns": []}, 403),
            ({"columns": ["not_a_column"]}, 403),
            ({"columns": ["school_name", "not_a_column"]}, 200),
            ({"ip_allow": ["10.0.0.0/8"]}, 403),
            ({"ip_allow": ["127.0.0.1"]}, 200),
            ({"ip_allow": ["::ffff:127.0.0.0/104", "127.0.0.0/8"]}, 200),
            ({"ip_allow": ["not an address"]}, 403),
            ({"level": 0}, 403),
            ({"level": 5}, 200),
            ({"dataset": "student_base"}, 403),
            ({"client_id": "other"}, 403),
            ({"api": "senior-quota"}, 403),
        ],
    )
    async def test_every_condition_is_checked(
        self, give: Give, gateway: Any, issuer: Any, over: dict[str, Any], expected: int
    ) -> None:
        await give(**over)
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == expected
        assert len(gateway.engine.asked) == (expected == 200)

    async def test_one_of_two_grants_is_enough(self, give: Give, gateway: Any, issuer: Any) -> None:
        await give(grant_id="g1", ip_allow=["10.0.0.0/8"])
        await give(grant_id="g2", columns=["school_key"])
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 200
        assert gateway.engine.asked[0][1] == ("school_key",)

    async def test_a_grant_that_ends_while_it_is_in_memory_opens_nothing_more(
        self, give: Give, gateway: Any, issuer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        end = now() + timedelta(hours=1)
        await give(valid_until=end)
        await gateway.plane.follower.look()
        for moment, expected in ((-0.001, 200), (0.0, 403)):
            clock = SimpleNamespace(time=partial(float, end.timestamp() + moment))
            monkeypatch.setattr(approval, "time", clock)
            assert await status(gateway, issuer) == expected

    @pytest.mark.parametrize(
        "path", ["/share/v1/nothing", "/share/v1/", "/share/v1/schools/", "/share/v2/schools", "/share"]
    )
    async def test_an_unknown_api_is_404(self, gateway: Any, issuer: Any, path: str) -> None:
        assert await status(gateway, issuer, path) == 404

    @pytest.mark.parametrize(
        "query", ["?district=1", "?unknown=1", "?limit=0", "?limit=101", "?district=310115&district=1"]
    )
    async def test_a_bad_parameter_is_400_and_asks_nothing(
        self, give: Give, gateway: Any, issuer: Any, query: str
    ) -> None:
        await give()
        await gateway.plane.follower.look()
        assert await status(gateway, issuer, CALL + query) == 400
        assert gateway.engine.asked == []

    async def test_only_reads_without_a_body(self, give: Give, gateway: Any, issuer: Any) -> None:
        await give()
        await gateway.plane.follower.look()
        answer = await gateway.http.post(CALL, headers=issuer.bearer())
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"
        with_body = await gateway.http.request("GET", CALL, content=b"x", headers=issuer.bearer())
        assert with_body.status_code == 400
        head = await gateway.http.head(CALL, headers=issuer.bearer())
        assert (head.status_code, head.content) == (200, b"")


class TestAnAmendedGrant:
    async def test_a_revoked_one_never_becomes_active_again(
        self, give: Give, gateway: Any, issuer: Any
    ) -> None:
        await give(status="revoked", change="revoked")
        await give(change="amended")
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 403

    async def test_a_change_made_by_hand_in_the_database_is_followed(
        self, give: Give, gateway: Any, issuer: Any, postgres_admin_url: str
    ) -> None:
        await give()
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 200
        connection = await asyncpg.connect(postgres_admin_url)
        await connection.execute("UPDATE gateway.grant SET status = 'revoked'")
        await connection.close()
        await until_status(403, gateway, issuer)

    async def test_a_change_that_was_open_during_a_look_is_seen_by_the_next(
        self, give: Give, gateway: Any, issuer: Any, postgres_admin_url: str
    ) -> None:
        await give()
        await gateway.plane.follower.look()
        open_change = await asyncpg.connect(postgres_admin_url)
        await open_change.execute("BEGIN; UPDATE gateway.grant SET status = 'revoked'")
        for number in range(3):  # later transactions, which the looks see and pass
            await give(f"other{number}")
            await gateway.plane.follower.look()
        await open_change.execute("COMMIT")
        await open_change.close()
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 403

    async def test_a_long_transaction_elsewhere_does_not_delay_a_revocation(
        self, give: Give, gateway: Any, issuer: Any, postgres_admin_url: str
    ) -> None:
        await give()
        await gateway.plane.follower.look()
        busy = await asyncpg.connect(postgres_admin_url)
        await busy.execute("BEGIN; CREATE TABLE public.half_done (a int)")
        try:
            await give(status="revoked", change="revoked")
            await until_status(403, gateway, issuer)
            await give(client_id="late")
            await until_status(200, gateway, issuer, client_id="late")
        finally:
            await busy.execute("ROLLBACK")
            await busy.close()


class TestAChangeThatIsNotApplied:
    """The projection may lag behind the log, or a change may fail: what it is about is closed, and nothing else."""

    async def test_a_revocation_nobody_applies_holds_all_the_same(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any, database: Database, role_url: Any
    ) -> None:
        """Another process leads the group and does nothing, as one does that hangs or pauses."""
        grant = await give()
        await give("other")
        catalog = Database(role_url("edulake_catalog"))
        async with leadership(database, "group gateway") as lead, start_gateway(settings) as gateway:
            assert lead
            assert await status(gateway, issuer) == 200
            async with catalog.transaction() as session:
                await announce(session, grant.model_copy(update={"status": "revoked", "change": "revoked"}))
            await until_status(403, gateway, issuer)
            assert await status(gateway, issuer, client_id="other") == 200
        await catalog.close()

    async def test_a_look_before_it_is_late_is_believed_from_its_announcement_on(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any, database: Database, role_url: Any
    ) -> None:
        """Were it the last look that succeeds, what it read is stale within the 5 s of the change, not of the look."""
        grant = await give()
        catalog = Database(role_url("edulake_catalog"))
        async with leadership(database, "group gateway") as lead, start_gateway(settings) as gateway:
            assert lead
            assert await status(gateway, issuer) == 200
            async with catalog.transaction() as session:
                await announce(session, grant.model_copy(update={"status": "revoked", "change": "revoked"}))
            announced = time.monotonic()
            await asyncio.sleep(0.2)
            await gateway.plane.follower.look()
            assert gateway.plane.access._confirmed <= announced
            async with asyncio.timeout(
                60
            ):  # once it counts as not applied, what else was read is as new as the look
                while gateway.plane.access._confirmed <= announced:
                    await asyncio.sleep(0.05)
            assert await status(gateway, issuer) == 403
        await catalog.close()

    async def test_a_process_is_not_ready_before_what_was_announced_is_applied(
        self, settings: Any, start_gateway: Any, give: Give, database: Database, role_url: Any
    ) -> None:
        """Its callers would be told that they are revoked, as every client was right after a first start."""
        grant = await give()
        catalog = Database(role_url("edulake_catalog"))
        async with catalog.transaction() as session:
            await announce(session, grant)
        async with AsyncExitStack() as stack:
            async with leadership(database, "group gateway") as lead:
                assert lead
                gateway = await stack.enter_async_context(start_gateway(settings))
                await gateway.plane.follower.look()
                told = await gateway.http.get("/readyz")
                assert (told.status_code, "being applied" in told.text) == (503, True)
            async with asyncio.timeout(60):
                while (await gateway.http.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
        await catalog.close()

    async def test_a_revocation_that_cannot_be_applied_holds_all_the_same(
        self, give: Give, gateway: Any, issuer: Any, role_url: Any
    ) -> None:
        grant = await give()
        await give("other")
        await gateway.plane.follower.look()
        catalog = Database(role_url("edulake_catalog"))
        unfit = {"status": "revoked", "change": "revoked", "rate_per_s": 2**40}
        async with catalog.transaction() as session:
            await announce(session, grant.model_copy(update=unfit))
        await until_status(403, gateway, issuer)
        assert await status(gateway, issuer, client_id="other") == 200
        await catalog.close()

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            (AccessTokenRevoked(jti="stolen", before=now(), expires_at=now()), 401),
            (AccessTokenRevoked(client_id="app", before=now(), expires_at=now()), 401),
            (AccessClientChanged(client_id="app", status="disabled", organisation="x"), 401),
            (None, 403),
        ],
    )
    async def test_one_that_was_given_up_stays_closed_until_it_is_replayed(
        self, give: Give, gateway: Any, issuer: Any, database: Database, facts: Any, expected: int
    ) -> None:
        facts = await give() if facts is None else (await give(), facts)[1]
        await give("other")
        event = Event(
            event_id=new_event_id(),
            name=facts.name,
            key=facts.key(),
            occurred_at=now(),
            producer="edulake_auth",
            trace_id="",
            data=facts.model_dump(mode="json"),
        )
        await Delivery(database, "gateway", {}, None, BusLimits())._bury(event, 5, "ValueError")  # type: ignore[arg-type]
        await gateway.plane.follower.look()
        assert await status(gateway, issuer, jti="stolen") == expected
        assert await status(gateway, issuer, client_id="other") == 200
        async with database.transaction() as session:
            await session.execute(text("UPDATE bus.dead_letter SET state = 'replayed'"))
        await gateway.plane.follower.look()
        assert await status(gateway, issuer, jti="stolen") == 200

    async def put(self, admin_url: str, name: str, key: str, payload: str = "[1, 2]") -> None:
        """What cannot be read, written into the log by hand."""
        connection = await asyncpg.connect(admin_url)
        await connection.execute(
            "INSERT INTO bus.log (event_id, topic, name, key, payload, trace_id, producer, created_at) "
            "VALUES (gen_random_uuid(), 'access', $1, $2, $3, '', 'hand', now())",
            name,
            key,
            payload,
        )
        await connection.close()

    @pytest.mark.parametrize(
        ("name", "key", "expected"),
        [
            (AccessGrantChanged.name, "g-app-schools", 403),
            (AccessClientChanged.name, "app", 401),
            (AccessTokenRevoked.name, "app", 401),
            (AccessTokenRevoked.name, "stolen", 401),
        ],
    )
    async def test_one_that_cannot_be_read_closes_what_it_is_about_and_what_comes_later_is_applied(
        self,
        settings: Any,
        start_gateway: Any,
        give: Give,
        issuer: Any,
        postgres_admin_url: str,
        role_url: Any,
        name: str,
        key: str,
        expected: int,
    ) -> None:
        await give()
        other = await give("other")
        await self.put(postgres_admin_url, name, key)
        catalog = Database(role_url("edulake_catalog"))
        async with start_gateway(settings) as gateway:
            async with asyncio.timeout(60):
                while (await gateway.http.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
            assert await status(gateway, issuer, jti="stolen") == expected
            assert await status(gateway, issuer, client_id="other") == 200
            async with catalog.transaction() as session:
                await announce(session, other.model_copy(update={"status": "revoked", "change": "revoked"}))
            await until_status(403, gateway, issuer, client_id="other")
        await catalog.close()

    @pytest.mark.parametrize("key", ["", " ", "x" * 600])
    async def test_one_that_does_not_say_what_it_is_about_closes_everything_until_it_is_dealt_with(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any, postgres_admin_url: str, key: str
    ) -> None:
        await give()
        quick = settings.model_copy(update={"access_stale_s": 2.0})
        async with start_gateway(quick) as gateway:
            assert await status(gateway, issuer) == 200
            await self.put(postgres_admin_url, AccessTokenRevoked.name, key)
            await until_status(503, gateway, issuer)
            told = await gateway.http.get("/readyz")
            assert (told.status_code, "access-unknown" in told.text) == (503, True)
            connection = await asyncpg.connect(postgres_admin_url)
            async with asyncio.timeout(60):
                while not await connection.fetchval("SELECT count(*) FROM bus.dead_letter"):
                    await asyncio.sleep(0.05)
            await connection.execute("UPDATE bus.dead_letter SET state = 'replayed'")
            await connection.close()
            await until_status(200, gateway, issuer)

    async def test_too_many_of_them_and_nothing_is_believed(
        self, give: Give, gateway: Any, issuer: Any, monkeypatch: pytest.MonkeyPatch, role_url: Any
    ) -> None:
        grant = await give()
        await gateway.plane.follower.look()
        monkeypatch.setattr(follower, "UNSETTLED_MAX", 1)
        monkeypatch.setattr(gateway.plane.access, "_stale_s", 0.5)
        catalog = Database(role_url("edulake_catalog"))
        async with catalog.transaction() as session:
            await announce(session, grant.model_copy(update={"grant_id": "x", "rate_per_s": 2**40}))
        await until_status(503, gateway, issuer)
        await catalog.close()


class TestTheClocksOfAnnouncers:
    @pytest.mark.parametrize("ending", ["revoked", "expired"])
    async def test_an_end_wins_over_a_later_time_and_stays(
        self, give: Give, gateway: Any, issuer: Any, database: Database, ending: Any
    ) -> None:
        grant = await give()
        async with database.transaction() as session:
            await put_grant(session, grant, now() + timedelta(seconds=20))
            over = {"status": ending, "change": ending}
            await put_grant(session, grant.model_copy(update=over), now())
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 403
        async with database.transaction() as session:
            await put_grant(session, grant, now() + timedelta(seconds=60))
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 403

    async def test_older_news_of_an_active_grant_changes_nothing(
        self, give: Give, gateway: Any, issuer: Any, database: Database
    ) -> None:
        grant = await give()
        async with database.transaction() as session:
            older = grant.model_copy(update={"columns": []})
            await put_grant(session, older, now() - timedelta(minutes=1))
        await gateway.plane.follower.look()
        assert await status(gateway, issuer) == 200


class TestTwoProcesses:
    """P4: a revocation holds everywhere; the seconds seen stand in the test report."""

    async def test_a_revoked_grant_and_a_revoked_token_are_refused_by_both(
        self,
        settings: Any,
        start_gateway: Any,
        give: Give,
        issuer: Any,
        role_url: Any,
        record_property: Callable[[str, object], None],
    ) -> None:
        grant = await give()
        await give("other")
        token = issuer.bearer("other", jti="stolen")
        catalog, auth = Database(role_url("edulake_catalog")), Database(role_url("edulake_auth"))
        async with start_gateway(settings) as one, start_gateway(settings) as two:
            for gateway in (one, two):
                assert await status(gateway, issuer) == 200
                assert (await gateway.http.get(CALL, headers=token)).status_code == 200
            began = time.monotonic()
            async with catalog.transaction() as session:
                await announce(session, grant.model_copy(update={"status": "revoked", "change": "revoked"}))
            async with auth.transaction() as session:
                expires = now() + timedelta(hours=1)
                await announce(session, AccessTokenRevoked(jti="stolen", before=now(), expires_at=expires))
            waiting = {(gateway, kind) for gateway in (one.url, two.url) for kind in ("grant", "token")}
            while waiting:
                assert time.monotonic() - began < 60, waiting
                for gateway in (one, two):
                    if await status(gateway, issuer) == 403:
                        waiting.discard((gateway.url, "grant"))
                    if (await gateway.http.get(CALL, headers=token)).status_code == 401:
                        waiting.discard((gateway.url, "token"))
                await asyncio.sleep(0.05)
            record_property("refused_by_both_after_s", round(time.monotonic() - began, 2))
        await catalog.close()
        await auth.close()
