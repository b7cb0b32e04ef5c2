"""A version is restored while a batch is being decided: what it brings back must not stay by accident.

The batch was not among the contributions when they were looked at, so there seemed to be nothing to take out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from edulake.governance.dataset import repository, service
from edulake.governance.run import contribution
from sqlalchemy import text

from .conftest import a_contract

WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
GOOD = [("chess", "13800000001"), ("go", None)]
Paused = Callable[[str], AbstractAsyncContextManager[None]]


async def restore(house: Any, version: int) -> None:
    async with house.database.transaction() as session:
        await service.restore(session, house.lake, a_contract(), version, "person:li")


@pytest.fixture
def paused(house: Any, monkeypatch: pytest.MonkeyPatch) -> Paused:
    """`async with paused("governance.before_lake"):` the worker stands there for the length of the block."""

    @asynccontextmanager
    async def at(name: str) -> AsyncIterator[None]:
        there, on = asyncio.Event(), asyncio.Event()

        async def point(passed: str) -> None:
            if passed == name and not there.is_set():
                there.set()
                await on.wait()

        monkeypatch.setattr("edulake.common.faults.point", point)
        async with house.working():
            await asyncio.wait_for(there.wait(), 60)
            yield
            on.set()
            await house.when("b2", lambda run: run.state in ("finished", "failed", "cancelled"))

    return at


@pytest.fixture
async def without_b2(house: Any) -> None:
    """v1 holds b1, v2 both, v3 is v1 restored: b2 is governed no more."""
    await house.land("b1", GOOD)
    await house.land("b2", [("drama", "13700000000")], source_id="source-b")
    await house.govern("b1", "b2")
    await restore(house, 1)


async def batches(house: Any) -> list[str]:
    return sorted((await house.governed("club__parts"))["_batch_id"].unique())


@pytest.mark.usefixtures("without_b2")
class TestABatchThatIsBlocked:
    async def test_is_taken_out_when_a_restore_brings_it_back(self, house: Any, paused: Paused) -> None:
        house.pipeline.blocked_names = {"drama"}
        await house.reopen("b2")
        async with paused("governance.before_lake"):
            await restore(house, 2)
            assert await batches(house) == ["b1", "b2"]
        run = await house.run("b2")
        assert (run.outcome, run.version) == ("refused", None)
        assert "已从治理区移出" in run.reason_zh
        assert await batches(house) == ["b1"]
        assert "drama" not in (await house.governed())["name"].to_list()


@pytest.mark.usefixtures("without_b2")
class TestABatchThatIsWithdrawn:
    async def test_is_taken_out_when_a_restore_brings_it_back(
        self, house: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked, on, look = asyncio.Event(), asyncio.Event(), contribution.without_batch

        async def slow(*args: Any) -> Any:
            found = await look(*args)
            looked.set()
            await on.wait()
            return found

        monkeypatch.setattr(contribution, "without_batch", slow)
        await house.reopen("b2")
        async with house.database.transaction() as session:
            await session.execute(text("UPDATE governance.run SET is_withdrawn = true WHERE batch_id = 'b2'"))
        async with house.working():
            await asyncio.wait_for(looked.wait(), 60)
            await restore(house, 2)
            on.set()
            run = await house.closed("b2")
        assert (run.state, run.version) == ("cancelled", None)
        assert await batches(house) == ["b1"]


class TestARestoreWhileABatchIsCommitted:
    async def test_takes_its_turn_and_neither_fails(self, house: Any) -> None:
        """A batch that had its run's row and waited for the dataset, and a restore that had it and wanted the row."""
        await house.land("b1", GOOD)
        await house.land("b2", [("drama", "13700000000")], source_id="source-b")
        await house.govern("b1", "b2")
        await house.reopen("b2")
        async with house.working():
            async with house.database.transaction() as session:
                await repository.lock(session, "club")
                async with asyncio.timeout(60):
                    while not await session.scalar(WAITING):
                        await asyncio.sleep(0.02)
                await service.restore(session, house.lake, a_contract(), 1, "person:li")
            run = await house.closed("b2")
        assert (run.outcome, run.tries) == ("governed", 1)
        assert await batches(house) == ["b1", "b2"], "governed on top of what was restored"
