"""The purge, how far readers are behind, and who leads."""

from collections.abc import AsyncIterator

import pytest
from edulake.common.bus import announce
from edulake.common.bus import log as event_log
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.lag import Standing, standings, stuck
from edulake.common.bus.leader import leadership
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.unsettled import unsettled
from edulake.common.bus.upkeep import Upkeep, purge
from edulake.common.db import Database
from edulake.common.errors import Unavailable
from edulake.common.events import Event, RawBatchLanded, RawBatchWithdrawn
from sqlalchemy import text

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_workorder"))
    yield database
    await database.close()


@pytest.fixture
async def admin(postgres_admin_url: str) -> AsyncIterator[Database]:
    database = Database(postgres_admin_url)
    yield database
    await database.close()


async def announced(database: Database, count: int) -> list[Event]:
    async with database.transaction() as session:
        return [
            await announce(session, RawBatchWithdrawn(dataset=f"d{n}", batch_id="b", source_id="s", by="t"))
            for n in range(count)
        ]


async def make_old(admin: Database, *keys: str, days: int = 100) -> None:
    async with admin.transaction() as session:
        await session.execute(
            text("UPDATE bus.log SET created_at = now() - make_interval(days => :d) WHERE key = ANY(:k)"),
            {"d": days, "k": list(keys)},
        )


async def stand_at(database: Database, consumer: str, pos: int) -> None:
    async with database.transaction() as session:
        await event_log.cursor(session, consumer)
        await event_log.save_cursor(session, consumer, pos)


async def kept(admin: Database) -> list[str]:
    async with admin.read() as session:
        return list(await session.scalars(text("SELECT key FROM bus.log ORDER BY pos")))


async def end_of(database: Database) -> int:
    async with database.transaction() as session:
        return await event_log.horizon(session)


class TestPurge:
    async def test_old_events_go_when_every_reader_has_passed_them(
        self, database: Database, admin: Database
    ) -> None:
        await announced(database, 3)
        await make_old(admin, "d0", "d1")
        await stand_at(database, "one", await end_of(database))
        await stand_at(database, "two", await end_of(database))
        assert await purge(database, 30) == 2
        assert await kept(admin) == ["d2"]

    async def test_what_one_cursor_has_not_passed_stays(self, database: Database, admin: Database) -> None:
        events = await announced(database, 3)
        await make_old(admin, "d0", "d1", "d2")
        await stand_at(database, "fast", await end_of(database))
        await stand_at(database, "slow", await event_log.position_of(database, events[0].event_id))
        assert await purge(database, 30) == 1
        assert await kept(admin) == ["d1", "d2"]

    async def test_nothing_goes_before_anybody_reads(self, database: Database, admin: Database) -> None:
        await announced(database, 1)
        await make_old(admin, "d0")
        assert await purge(database, 30) == 0
        assert await kept(admin) == ["d0"]

    async def test_a_day_is_kept_whatever_is_asked(self, database: Database, admin: Database) -> None:
        await announced(database, 1)
        await stand_at(database, "g", await end_of(database))
        assert await purge(database, 0) == 0

    async def test_the_inbox_outlives_the_log(self, database: Database, admin: Database) -> None:
        """Kafka may still hold what the log has dropped."""
        events = await announced(database, 2)
        await make_old(admin, "d0", "d1")
        await stand_at(database, "g", await end_of(database))
        async with admin.transaction() as session:
            for event, days in zip(events, (40, 61), strict=True):
                await session.execute(
                    text("INSERT INTO bus.inbox VALUES ('g', :id, now() - make_interval(days => :d))"),
                    {"id": event.event_id, "d": days},
                )
        await purge(database, 30)
        async with admin.read() as session:
            left = list(await session.scalars(text("SELECT event_id FROM bus.inbox")))
        assert left == [events[0].event_id]

    async def test_tries_of_settled_events_are_cleared(self, database: Database, admin: Database) -> None:
        settled, open_ = await announced(database, 2)
        async with database.transaction() as session:
            for event in (settled, open_):
                await session.execute(
                    text("INSERT INTO bus.attempt VALUES ('g', :id, 'k', 1, now())"), {"id": event.event_id}
                )
            await session.execute(
                text("INSERT INTO bus.inbox (consumer, event_id) VALUES ('g', :id)"), {"id": settled.event_id}
            )
        await purge(database, 30)
        async with admin.read() as session:
            assert list(await session.scalars(text("SELECT event_id FROM bus.attempt"))) == [open_.event_id]

    async def test_the_relay_may_purge_too(self, database_url: str) -> None:
        relay = Database(database_url.replace("{role}", "edulake_relay"))
        try:
            assert await purge(relay, 30) == 0
        finally:
            await relay.close()


async def standing_of(database: Database, consumer: str) -> Standing:
    async with database.read() as session:
        (found,) = await standings(session, [consumer])
    return found


async def backdate(admin: Database, statement: str) -> None:
    async with admin.transaction() as session:
        await session.execute(text(statement))


class TestStanding:
    async def test_a_cursor_alone_has_before_it_what_stands_in_the_log(
        self, database: Database, admin: Database
    ) -> None:
        events = await announced(database, 3)
        await backdate(admin, "UPDATE bus.log SET created_at = now() - interval '90 s' WHERE key = 'd1'")
        await stand_at(database, "relay", await event_log.position_of(database, events[0].event_id))
        found = await standing_of(database, "relay")
        assert found.events == 2
        assert 90 <= found.seconds < 100
        await stand_at(database, "relay", await end_of(database))
        found = await standing_of(database, "relay")
        assert (found.events, found.seconds, found.still_s, found.told) == (0, 0, 0, ("", ""))

    async def test_a_group_lags_by_what_it_handles_and_has_not_settled(
        self, database: Database, admin: Database
    ) -> None:
        settled, _open = await announced(database, 2)
        async with database.transaction() as session:
            await session.execute(
                text("INSERT INTO bus.inbox (consumer, event_id) VALUES ('g', :id)"), {"id": settled.event_id}
            )
        for names, events in (["raw.batch.withdrawn.v1"], 1), (["raw.batch.landed.v1"], 0):
            async with database.transaction() as session:
                await event_log.register(session, "g", names)
            assert (await standing_of(database, "g")).events == events

    async def test_a_backlog_that_moves_is_not_stuck_however_old_it_is(
        self, database: Database, admin: Database
    ) -> None:
        await announced(database, 3)
        await stand_at(database, "relay", 1)
        await backdate(admin, "UPDATE bus.log SET created_at = now() - interval '1 day'")
        moving = await standing_of(database, "relay")
        assert (moving.events, moving.seconds > 86_000, moving.still_s < 3600) == (3, True, True)
        await backdate(admin, "UPDATE bus.cursor SET updated_at = now() - interval '2 hours'")
        still = await standing_of(database, "relay")
        assert 7200 <= still.still_s < 7300
        await backdate(admin, "UPDATE bus.log SET created_at = now() - interval '10 minutes'")
        idle_before = await standing_of(database, "relay")
        assert 600 <= idle_before.still_s < 700, "what rested because there was nothing was not stuck"

    @pytest.mark.parametrize("time", ["infinity", "-infinity", "4000-01-01 BC", "200000-01-01"])
    async def test_a_time_that_a_hand_wrote_ends_no_question(
        self, database: Database, admin: Database, time: str
    ) -> None:
        await announced(database, 1)
        await stand_at(database, "relay", 0)
        await backdate(admin, f"UPDATE bus.log SET created_at = '{time}'")
        assert (await standing_of(database, "relay")).events == 1
        async with database.read() as session:
            (late,) = await unsettled(session, "g", ["raw.batch.withdrawn.v1"], limit=9)
        assert late.age_s > 1e6, "a change whose time nobody knows counts as late"

    async def test_who_never_began_is_not_among_them(self, database: Database) -> None:
        async with database.read() as session:
            assert await standings(session, ["nobody"]) == []

    @pytest.mark.parametrize(
        ("relay", "is_stuck"),
        [
            (None, True),
            (Standing("relay", 0, 0, 0), True),
            (Standing("relay", 5, 900, 1, next=9), True),
            (Standing("relay", 5, 900, 1, next=7), False),
            (Standing("relay", 5, 900, 900, next=9), False),
        ],
    )
    async def test_a_group_is_not_blamed_for_what_was_not_carried_to_it(
        self, relay: Standing | None, is_stuck: bool
    ) -> None:
        mine = Standing("g", 3, 900, 900, next=8)
        found = [mine, *([relay] if relay else [])]
        assert stuck(found, "g", 600) is (mine if is_stuck else None)
        assert stuck(found, "g", 901) is None
        assert stuck(found, "other", 600) is None


class TestUpkeep:
    async def test_it_moves_the_cursor_so_that_the_purge_need_not_wait(
        self, database: Database, admin: Database
    ) -> None:
        """Kafka reads for the group, so nobody else would move it."""
        await announced(database, 1)
        await make_old(admin, "d0")
        await stand_at(database, "g", 0)
        assert await purge(database, 30) == 0
        delivery = Delivery(database, "g", {RawBatchLanded: None}, None, BusLimits())  # type: ignore
        await Upkeep(database, BusLimits(), "g", delivery).run_if_due()
        assert await kept(admin) == []

    async def test_upkeep_runs_when_due_and_purges_more_rarely(
        self, database: Database, admin: Database
    ) -> None:
        await announced(database, 2)
        await make_old(admin, "d0")
        await stand_at(database, "g", await end_of(database))
        upkeep = Upkeep(database, BusLimits(upkeep_ms=10_000), "g", None)
        await upkeep.run_if_due()
        assert await kept(admin) == ["d1"]
        await make_old(admin, "d1")
        await upkeep.run_if_due()
        assert await kept(admin) == ["d1"]

    async def test_what_fails_in_it_does_not_stop_the_reader(
        self, database: Database, admin: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        await backdate(admin, "REVOKE ALL ON FUNCTION bus.purge FROM edulake_workorder")
        await Upkeep(database, BusLimits(), "g", None).run_if_due()
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
            "upkeep failed"
        ]


class TestLeadership:
    async def test_one_of_two_leads_and_the_next_follows(self, database: Database) -> None:
        async with leadership(database, "x") as first, leadership(database, "x") as second:
            assert first is not None
            assert second is None
        async with leadership(database, "x") as third:
            assert third is not None

    async def test_names_do_not_disturb_each_other(self, database: Database) -> None:
        async with leadership(database, "x") as one, leadership(database, "y") as other:
            assert one is not None
            assert other is not None

    async def test_a_lost_connection_ends_the_leadership_and_is_noticed(
        self, database: Database, admin: Database
    ) -> None:
        with pytest.raises(Unavailable):
            async with leadership(database, "x") as lead:
                assert lead is not None
                mine = await lead.session.scalar(text("SELECT pg_backend_pid()"))
                async with admin.transaction() as session:
                    await session.execute(text("SELECT pg_terminate_backend(:p, 5000)"), {"p": mine})
                async with leadership(admin, "x") as successor:
                    assert successor is not None
                await lead.confirm()

    async def test_leading_does_not_hold_back_readers(self, database: Database) -> None:
        async with leadership(database, "x"):
            await announced(database, 1)
            async with database.transaction() as session:
                assert len((await event_log.read_after(session, 0, ["raw"], 5)).events) == 1


class TestLimits:
    def test_pauses_grow_threefold_up_to_the_longest(self) -> None:
        limits = BusLimits(backoff_ms=1000, backoff_max_ms=20_000)
        assert [limits.backoff_s(tries) for tries in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]

    def test_the_environment_sets_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDULAKE_BUS_TRIES", "7")
        assert BusLimits().tries == 7
