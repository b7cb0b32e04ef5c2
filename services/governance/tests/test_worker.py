"""A worker governs batches: what stands afterwards in the lake, in Postgres and on the bus."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from edulake.common.clock import now
from edulake.common.events import Event, RawBatchWithdrawn
from edulake.governance.handlers import HANDLERS
from edulake.governance.run import repository
from edulake.governance.steps.faults import ContractFault
from sqlalchemy import text


@pytest.fixture
def good() -> list[tuple[str, str | None]]:
    return [("chess", "13800000001"), ("go", None)]


class TestAGoodBatch:
    async def test_becomes_a_governed_version(self, house: Any, good: Any) -> None:
        await house.land("b1", [*good, ("bad", "139")])
        (run,) = await house.govern("b1")
        assert (run.state, run.outcome, run.version) == ("finished", "governed", 1)
        assert (run.rows_in, run.rows_governed, run.rows_quarantined) == (3, 2, 1)
        governed = await house.governed()
        assert governed["name"].to_list() == ["chess", "go"]
        assert governed["phone_token"].to_list() == ["t:13800000001", None]
        assert governed["_sources"].to_list() == ['["source-a"]'] * 2

    async def test_tells_the_others_in_the_same_transaction(self, house: Any, good: Any) -> None:
        await house.land("b1", [*good, ("bad", "139")])
        (run,) = await house.govern("b1")
        (finished,) = await house.events("governed.batch.finished.v1")
        assert finished["outcome"] == "governed"
        assert finished["quarantined_by_rule"] == {"name.good": 1}
        (ready,) = await house.events("governed.dataset.ready.v1")
        assert (ready["version"], ready["row_count"], ready["level"]) == (1, 2, 4)
        assert ready["content_digest"] == run.content_digest
        (failed,) = await house.events("quality.rule.failed.v1")
        assert (failed["rule_id"], failed["failed_rows"], failed["examples"]) == ("name.good", 1, ["b**"])
        assert failed["contact"] == "person:wu-contact"
        (assessed,) = await house.events("quality.batch.assessed.v1")
        assert assessed["rules"] == [
            {"rule_id": "name.good", "field": "name", "failed_rows": 1, "checked_rows": 3},
            {"rule_id": "batch.completeness", "field": "_row", "failed_rows": 0, "checked_rows": 0},
        ]

    async def test_keeps_the_bad_rows_sealed(self, house: Any, good: Any) -> None:
        await house.land("b1", [*good, ("bad", "13912345678")])
        await house.govern("b1")
        files = [p for p in (house.settings.home / "lake" / "quarantine").rglob("*") if p.is_file()]
        assert len(files) == 1
        assert b"13912345678" not in files[0].read_bytes()
        assert await house.count("governance.finding") == 1
        assert await house.count("governance.quality_report") == 1

    async def test_shows_its_steps_while_it_runs(self, house: Any, good: Any) -> None:
        house.pipeline.holds_at = "clean"
        await house.land("b1", good)
        async with house.working():
            seen = await house.when("b1", lambda run: run.step == "clean")
            assert (seen.state, seen.step_total) == ("running", 8)
            assert 0 < seen.step_done < 8
            house.pipeline.go.set()
            await house.closed("b1")


class TestReprocessing:
    async def test_twice_yields_the_same_content_and_a_version_each(self, house: Any, good: Any) -> None:
        await house.land("b1", [*good, ("bad", "139")])
        (first,) = await house.govern("b1")
        digests = [first.content_digest]
        for _ in range(2):
            await house.reopen("b1")
            (again,) = await house.govern("b1")
            digests.append(again.content_digest)
        assert len(set(digests)) == 1
        assert (again.version, again.revision) == (3, 3)
        assert await house.count("governance.finding") == 1
        assert await house.count("governance.quality_report") == 3

    async def test_an_older_batch_changes_nothing_after_a_newer_whole_delivery(
        self, house: Any, good: Any
    ) -> None:
        await house.land("b1", good)
        await house.land("b2", [("chess", "13700000000")])
        _, second = await house.govern("b1", "b2")
        await house.reopen("b1")
        (again,) = await house.govern("b1")
        assert (again.outcome, again.version) == ("superseded", None)
        assert (await house.governed())["phone_token"].to_list() == ["t:13700000000"]
        async with house.database.read() as session:
            manifest = await house.lake.manifest(session, "governed", "club")
        assert manifest.content_digest == second.content_digest


class TestReprocessingThatFails:
    """What an earlier revision put in is taken out when it must not be served, else kept, and it is said."""

    async def again(self, house: Any, batch_id: str) -> Any:
        await house.reopen(batch_id)
        (run,) = await house.govern(batch_id)
        return run

    async def test_a_block_takes_out_the_rows_an_earlier_revision_put_in(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.land("b2", [("drama", "13700000000")], source_id="source-b")
        await house.govern("b1", "b2")
        house.pipeline.blocked = "发现身份证号 / an ID number was found"
        run = await self.again(house, "b2")
        assert (run.state, run.outcome, run.version) == ("finished", "refused", None)
        assert "已从治理区移出" in run.reason_zh
        assert "taken out" in run.reason_en
        assert (await house.governed())["name"].to_list() == ["chess", "go"]
        assert (await house.governed("club__parts"))["_batch_id"].unique().to_list() == ["b1"]
        last = (await house.events("governed.dataset.ready.v1"))[-1]
        assert (last["version"], last["row_count"], last["batch_id"]) == (3, 2, "b2")
        finished = (await house.events("governed.batch.finished.v1"))[-1]
        assert (finished["batch_id"], finished["outcome"], finished["version"]) == ("b2", "refused", None)

    async def test_a_block_brings_back_what_the_whole_delivery_had_replaced(
        self, house: Any, good: Any
    ) -> None:
        await house.land("b1", good)
        await house.land("b2", [("wrong", None)])
        first, _ = await house.govern("b1", "b2")
        house.pipeline.blocked_names = {"wrong"}
        await house.reopen("b2")
        async with house.working():
            await house.closed("b2")
            await house.when("b1", lambda run: run.revision == 2 and run.state == "finished")
        assert await digest(house) == first.content_digest

    async def test_a_second_block_changes_nothing(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        house.pipeline.blocked = "发现身份证号 / an ID number was found"
        await self.again(house, "b1")
        run = await self.again(house, "b1")
        assert (run.outcome, "移出" in run.reason_zh) == ("refused", False)
        assert len(await house.events("governed.dataset.ready.v1")) == 2

    async def test_below_the_threshold_keeps_what_was_governed_and_says_so(
        self, house: Any, good: Any
    ) -> None:
        await house.land("b1", [*good, ("bad", "1")])
        (first,) = await house.govern("b1")
        house.tighten("club", threshold=0.9)
        for _ in range(2):  # the second time it still knows
            run = await self.again(house, "b1")
            assert (run.outcome, run.version) == ("below_threshold", first.version)
            assert "此前治理的数据保持不变" in run.reason_zh
        assert (await house.governed())["name"].to_list() == ["chess", "go"]

    async def test_out_of_tries_keeps_what_was_governed_and_says_so(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        (first,) = await house.govern("b1")
        house.pipeline.fail_times = 99
        run = await self.again(house, "b1")
        assert (run.state, run.outcome, run.version) == ("failed", "refused", first.version)
        assert "此前治理的数据保持不变" in run.reason_zh
        assert await digest(house) == first.content_digest


class TestTwoSources:
    async def test_merge_field_by_field_by_authority(self, house: Any) -> None:
        await house.land("weak", [("chess", "13900000002"), ("go", "13900000003")], authority=1)
        strong = {"source_id": "source-b", "authority": 9}
        await house.land("strong", [("chess", "13800000001"), ("go", None)], **strong)
        await house.govern("weak", "strong")
        governed = await house.governed()
        assert governed["phone_token"].to_list() == ["t:13800000001", "t:13900000003"]
        assert governed["_sources"].to_list() == ['["source-b","source-a"]'] * 2
        assert governed["_provenance"].to_list() == [
            '{"phone":[{"source":"source-a","value":"139****"}]}',
            "{}",
        ]

    async def test_pushed_rows_add_to_what_their_source_sent(self, house: Any, good: Any) -> None:
        await house.land("file", good)
        await house.land("push", [("drama", None)], format="rows")
        await house.govern("file", "push")
        assert (await house.governed())["name"].to_list() == ["chess", "drama", "go"]


class TestTheOrderOfLanding:
    """Counts, whatever the order of hearing: an event may lie among the dead letters for days."""

    async def test_a_file_heard_late_does_not_replace_a_later_one(self, house: Any, good: Any) -> None:
        await house.land("b2", [("chess", "13700000000")], landed_no=12)
        await house.govern("b2")
        await house.land("b1", good, landed_no=11)
        (late,) = await house.govern("b1")
        assert (late.outcome, late.version) == ("superseded", None)
        assert (await house.governed())["phone_token"].to_list() == ["t:13700000000"]

    async def test_a_push_heard_late_stays_replaced(self, house: Any, good: Any) -> None:
        await house.land("file", good, landed_no=12)
        await house.govern("file")
        await house.land("push", [("drama", None)], format="rows", landed_no=11)
        (late,) = await house.govern("push")
        assert late.outcome == "superseded"
        assert (await house.governed())["name"].to_list() == ["chess", "go"]

    async def test_a_file_heard_late_leaves_the_rows_pushed_since(self, house: Any, good: Any) -> None:
        await house.land("push", [("drama", None)], format="rows", landed_no=12)
        await house.govern("push")
        await house.land("file", good, landed_no=11)
        (late,) = await house.govern("file")
        assert late.outcome == "governed"
        assert (await house.governed())["name"].to_list() == ["chess", "drama", "go"]

    async def test_decides_between_equal_sources(self, house: Any) -> None:
        await house.land("later", [("chess", "13700000000")], source_id="source-b", landed_no=12)
        await house.govern("later")
        await house.land("earlier", [("chess", "13800000001")], landed_no=11)
        await house.govern("earlier")
        assert (await house.governed())["phone_token"].to_list() == ["t:13700000000"]


class TestABatchThatDoesNotGoOn:
    async def test_below_the_threshold_leaves_the_governed_version_alone(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.land("b2", [("bad", "1"), ("bad", "2"), ("fine", "3")])
        _, run = await house.govern("b1", "b2")
        assert (run.state, run.outcome, run.version) == ("finished", "below_threshold", None)
        assert (run.rows_in, run.rows_governed, run.rows_quarantined) == (3, 0, 3)
        assert run.quarantined_by_rule == {"batch.threshold": 1, "name.good": 2}
        assert "33.3%" in run.reason_zh
        assert len(await house.events("governed.dataset.ready.v1")) == 1
        assert (await house.governed())["name"].to_list() == ["chess", "go"]

    async def test_a_blocked_batch_is_refused_with_its_reason(self, house: Any, good: Any) -> None:
        house.pipeline.blocked = "发现身份证号 / an ID number was found"
        await house.land("b1", good)
        (run,) = await house.govern("b1")
        assert (run.outcome, run.rows_quarantined) == ("refused", 2)
        assert "身份证号" in run.reason_zh

    async def test_an_empty_delivery_is_refused_and_replaces_nothing(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.land("b2", [])
        _, run = await house.govern("b1", "b2")
        assert run.outcome == "refused"
        assert (await house.governed()).height == 2

    async def test_a_dataset_without_contract_is_refused_at_once(self, house: Any, good: Any) -> None:
        await house.land("b1", good, dataset="nowhere")
        (run,) = await house.govern("b1")
        assert (run.state, run.outcome, run.tries) == ("failed", "refused", 1)
        (finished,) = await house.events("governed.batch.finished.v1")
        assert "nowhere" in finished["reason_en"]


class TestFailures:
    async def test_a_failed_try_is_tried_again(self, house: Any, good: Any) -> None:
        house.pipeline.fail_times = 2
        await house.land("b1", good)
        (run,) = await house.govern("b1")
        assert (run.outcome, run.tries) == ("governed", 3)
        assert run.reason_zh == ""

    async def test_after_the_last_try_the_source_learns_why(self, house: Any, good: Any) -> None:
        house.pipeline.fail_times = 99
        await house.land("b1", good)
        (run,) = await house.govern("b1")
        assert (run.state, run.outcome, run.tries) == ("failed", "refused", 5)
        (finished,) = await house.events("governed.batch.finished.v1")
        assert "ValueError" in finished["reason_en"]

    async def test_neither_reason_nor_log_quotes_the_error(
        self, house: Any, good: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        house.pipeline.fail_times = 99
        await house.land("b1", good)
        (run,) = await house.govern("b1")
        said = run.reason_zh + run.reason_en + caplog.text + str([r.__dict__ for r in caplog.records])
        assert "ValueError" in said
        assert "310101200001011234" not in said

    async def test_a_fault_of_the_contract_is_told_at_once(self, house: Any, good: Any) -> None:
        house.pipeline.fail_times = 99
        house.pipeline.error = ContractFault("club: derive member_key: by person_token takes 1 to 2 inputs")
        await house.land("b1", good)
        (run,) = await house.govern("b1")
        assert (run.state, run.outcome, run.tries) == ("failed", "refused", 1)
        assert "重试无用（club: derive member_key" in run.reason_zh
        (finished,) = await house.events("governed.batch.finished.v1")
        assert "contract is at fault" in finished["reason_en"]

    async def test_a_panic_of_the_engine_is_a_failed_try(self, house: Any, good: Any) -> None:
        house.pipeline.fail_times = 1
        house.pipeline.error = pl.exceptions.PanicException("panic")
        await house.land("b1", good)
        (run,) = await house.govern("b1")
        assert (run.outcome, run.tries) == ("governed", 2)

    async def test_a_failing_batch_holds_only_its_own_dataset(self, house: Any, good: Any) -> None:
        await house.land("b1", good, object="raw/club/none/rows")
        await house.land("b2", good, dataset="nowhere")
        async with house.working():
            await house.closed("b2")
            assert (await house.run("b1")).state in ("queued", "running")


def last_commit(house: Any, table: str = "club") -> Path:
    log = house.settings.home / "lake" / "governed" / table / "_delta_log"
    return max(log.glob("[0-9]*.json"))


def data_file(house: Any, table: str = "club__parts") -> Path:
    folder = house.settings.home / "lake" / "governed" / table
    return next(path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts)


class TestADamagedLake:
    @pytest.mark.parametrize("table", ["club", "club__parts"])
    async def test_with_a_cut_last_commit_is_mended_at_start(
        self, house: Any, good: Any, table: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        commit = last_commit(house, table)
        whole = commit.read_bytes()
        commit.write_bytes(whole[: len(whole) // 2])

        await house.land("b2", [("drama", None)], source_id="source-b")
        (run,) = await house.govern("b2")
        assert "lake repaired" in caplog.text
        assert run.outcome == "governed"
        assert (await house.governed())["name"].to_list() == ["chess", "drama", "go"]
        async with house.database.read() as session:
            assert await house.lake.verify(session, deep=True) == []

    @pytest.mark.parametrize("cut", [True, False])
    async def test_with_a_lost_or_cut_file_is_refused_in_words_and_holds_only_its_dataset(
        self, house: Any, good: Any, cut: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        lost = data_file(house)
        content = lost.read_bytes()
        if cut:
            lost.write_bytes(content[:-5])
        else:
            lost.unlink()

        await house.land("b2", [("drama", None)], source_id="source-b")
        await house.land("m1", good, dataset="member")
        run, member = await house.govern("b2", "m1")
        assert "lake damaged" in caplog.text
        assert (run.state, run.outcome) == ("failed", "refused")
        assert lost.name in run.reason_zh
        assert lost.name in run.reason_en
        assert member.outcome == "governed"

        lost.write_bytes(content)  # brought back from a backup
        await house.reopen("b2")
        (again,) = await house.govern("b2")
        assert again.outcome == "governed"


class TestReferences:
    async def test_a_run_waits_for_its_reference_and_then_sees_it(self, house: Any, good: Any) -> None:
        await house.land("m1", good, dataset="member")
        async with house.working():
            waiting = await house.when("m1", lambda run: run.state == "waiting_reference")
            assert waiting.waiting_for == ["club"]
            assert "社团（club）" in waiting.reason_zh
            await house.land("c1", good)
            run = await house.closed("m1")
        assert (run.outcome, run.tries) == ("governed", 1)
        assert house.pipeline.seen[-1].references["clubs"].height == 2

    async def test_a_run_waits_for_earlier_deliveries_of_its_reference(self, house: Any, good: Any) -> None:
        """New schools and their pupils come together: the pupils must see the schools, whoever works faster."""
        await house.land("c0", good)
        await house.govern("c0")
        house.pipeline.fail_times = 1  # the schools' first try fails, so the pupils are looked at before them
        house.settings = house.settings.model_copy(update={"run_backoff_s": 100.0})
        await house.land("c1", [*good, ("drama", None)])
        await house.land("m1", good, dataset="member")
        async with house.working():
            waiting = await house.when("m1", lambda run: run.state == "waiting_reference")
            assert waiting.waiting_for == ["club"]
            async with house.database.transaction() as session:
                await session.execute(
                    text("UPDATE governance.run SET not_before = now() WHERE batch_id = 'c1'")
                )
            assert (await house.closed("m1")).outcome == "governed"
        assert house.pipeline.seen[-1].references["clubs"].height == 3

    async def test_a_later_delivery_of_the_reference_is_not_waited_for(self, house: Any, good: Any) -> None:
        await house.land("c0", good)
        await house.govern("c0")
        await house.land("m1", good, dataset="member")
        await house.land("c1", good, object="raw/club/none/rows")  # fails, and is not tried again so soon
        house.settings = house.settings.model_copy(update={"run_backoff_s": 100.0})
        async with house.working():
            assert (await house.closed("m1")).outcome == "governed"
            await house.when("c1", lambda run: run.tries == 1 and run.state == "queued")

    async def test_waits_no_longer_than_the_setting_allows(self, house: Any, good: Any) -> None:
        house.settings = house.settings.model_copy(update={"reference_wait_s": 0.3})
        await house.land("m1", good, dataset="member")
        (run,) = await house.govern("m1")
        assert run.outcome == "governed"
        assert house.pipeline.seen[-1].references == {}


class TestWithdrawing:
    async def test_while_running_leaves_no_trace_but_the_run(self, house: Any, good: Any) -> None:
        house.pipeline.holds_at = "clean"
        await house.land("b1", good)
        async with house.working():
            await house.when("b1", lambda run: run.step is not None)
            async with house.database.transaction() as session:
                await repository.withdraw(session, "b1")
            house.pipeline.go.set()
            run = await house.closed("b1")
        assert run.state == "cancelled"
        assert await house.events("governed.batch.finished.v1") == []
        assert await house.count("lake.manifest") == 0

    async def test_after_it_was_governed_takes_its_rows_out_again(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        (before,) = await house.govern("b1")
        await house.land("b2", [("chess", "13700000000"), ("drama", None)], source_id="source-b", authority=9)
        await house.govern("b2")

        await withdraw(house, "b2")
        (run,) = await house.govern("b2")
        assert (run.state, run.rows_governed) == ("cancelled", 0)
        assert "移出" in run.reason_zh
        assert (await house.governed())["name"].to_list() == ["chess", "go"]
        assert await digest(house) == before.content_digest
        assert (await house.governed("club__parts"))["_batch_id"].unique().to_list() == ["b1"]
        last = (await house.events("governed.dataset.ready.v1"))[-1]
        assert (last["version"], last["row_count"], last["batch_id"]) == (3, 2, "b2")
        finished = (await house.events("governed.batch.finished.v1"))[-1]
        assert (finished["batch_id"], finished["outcome"], finished["rows_governed"]) == (
            "b2",
            "superseded",
            0,
        )

    async def test_of_the_only_batch_leaves_an_empty_version_that_can_be_filled_again(
        self, house: Any, good: Any
    ) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        await withdraw(house, "b1")
        await house.govern("b1")
        assert (await house.governed()).height == 0

        await house.land("b2", good)
        (run,) = await house.govern("b2")
        assert (run.outcome, (await house.governed()).height) == ("governed", 2)

    async def test_of_a_whole_delivery_brings_back_what_it_had_replaced(self, house: Any, good: Any) -> None:
        await house.land("file1", [("lost", None)])
        await house.land("file2", good)
        await house.land("push", [("drama", None)], format="rows")
        *_, before = await house.govern("file1", "file2", "push")
        await house.land("file3", [("wrong", None)])
        await house.govern("file3")
        assert (await house.governed())["name"].to_list() == ["wrong"]

        await withdraw(house, "file3")
        async with house.working():
            await house.closed("file3")
            for name in ("file2", "push"):
                await house.when(name, lambda run: run.revision == 2 and run.state == "finished")
        assert (await house.governed())["name"].to_list() == ["chess", "drama", "go"]
        assert await digest(house) == before.content_digest
        assert (await house.run("file1")).revision == 1

    async def test_of_pushed_rows_leaves_the_others(self, house: Any, good: Any) -> None:
        await house.land("file", good)
        await house.land("push1", [("drama", None)], format="rows")
        await house.land("push2", [("choir", None)], format="rows")
        await house.govern("file", "push1", "push2")
        await withdraw(house, "push1")
        await house.govern("push1")
        assert (await house.governed())["name"].to_list() == ["chess", "choir", "go"]
        assert (await house.run("file")).revision == 1

    async def test_of_a_batch_that_contributed_nothing_changes_nothing(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.land("b2", [("bad", "1")])
        await house.govern("b1", "b2")
        await withdraw(house, "b2")
        (run,) = await house.govern("b2")
        assert (run.state, run.outcome) == ("cancelled", None)
        assert len(await house.events("governed.dataset.ready.v1")) == 1

    async def test_while_governed_once_more_takes_out_what_was_there(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        house.pipeline.holds_at = "clean"
        await house.reopen("b1")
        async with house.working():
            await house.when("b1", lambda run: run.step is not None)
            await withdraw(house, "b1")
            house.pipeline.go.set()
            run = await house.closed("b1")
        assert run.state == "cancelled"
        assert (await house.governed()).height == 0

    async def test_heard_twice_is_done_once(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        for _ in range(2):
            await withdraw(house, "b1")
            await house.govern("b1")
        assert len(await house.events("governed.dataset.ready.v1")) == 2

    async def test_is_not_given_up_and_never_governs_the_batch_again(self, house: Any, good: Any) -> None:
        await house.land("b1", good)
        await house.govern("b1")
        lost = data_file(house)
        content = lost.read_bytes()
        lost.unlink()
        house.settings = house.settings.model_copy(update={"run_tries_max": 1})
        await withdraw(house, "b1")
        async with house.working():
            await house.when("b1", lambda run: run.tries > 2)
            lost.write_bytes(content)
            await house.closed("b1")
        assert (await house.governed()).height == 0
        async with house.database.transaction() as session:
            assert not await repository.reopen(session, "b1")


async def withdraw(house: Any, batch_id: str) -> None:
    """Governance hears that a source took a batch back."""
    event = RawBatchWithdrawn(dataset="club", batch_id=batch_id, source_id="source-a", by="person:wu")
    envelope = Event(
        event_id=uuid4(),
        name=event.name,
        key="club",
        occurred_at=now(),
        producer="t",
        trace_id="0" * 32,
        data={},
    )
    async with house.database.transaction() as session:
        await HANDLERS[RawBatchWithdrawn](session, event, envelope, house.resources)


async def digest(house: Any) -> str:
    async with house.database.read() as session:
        found: str = (await house.lake.manifest(session, "governed", "club")).content_digest
    return found


class TestStopping:
    async def test_finishes_what_it_has_in_hand(self, house: Any, good: Any) -> None:
        house.pipeline.holds_at = "clean"
        await house.land("b1", good)
        async with house.working():
            await house.when("b1", lambda run: run.step == "clean")
            asyncio.get_running_loop().call_later(0.2, house.pipeline.go.set)  # after it was told to stop
        assert (await house.run("b1")).state == "finished"

    async def test_gives_back_what_takes_too_long_without_counting_a_try(self, house: Any, good: Any) -> None:
        house.settings = house.settings.model_copy(update={"shutdown_timeout_s": 0})
        house.pipeline.holds_at = "clean"
        await house.land("b1", good)
        async with house.working():
            await house.when("b1", lambda run: run.step == "clean")
        run = await house.run("b1")
        assert (run.state, run.tries) == ("queued", 0)
        house.pipeline.go.set()
        assert await asyncio.to_thread(house.pipeline.ended.wait, 60), "the thread of the cancelled try"
        assert (await house.run("b1")).state == "queued"


class TestTwoWorkers:
    async def test_share_the_work_and_no_batch_is_governed_twice(self, house: Any, good: Any) -> None:
        for number in range(6):
            await house.land(f"b{number}", good, period=str(2000 + number))
        async with house.working(), house.working():
            runs = [await house.closed(f"b{number}") for number in range(6)]
        assert [run.version for run in runs] == [1, 2, 3, 4, 5, 6]
        assert len(await house.events("governed.batch.finished.v1")) == 6

    async def test_one_that_was_away_too_long_writes_nothing(
        self, house: Any, good: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        away, back = asyncio.Event(), asyncio.Event()

        async def point(name: str) -> None:
            if name == "governance.before_lake" and not away.is_set():
                away.set()
                await back.wait()

        monkeypatch.setattr("edulake.governance.run.commit.faults.point", point)
        await house.land("b1", good)
        async with house.working():
            await asyncio.wait_for(away.wait(), 60)
            await house.end_leases()
            async with house.working():
                run = await house.closed("b1")
            back.set()
        assert (run.outcome, run.tries) == ("governed", 2)
        assert (await house.run("b1")).version == 1
        assert len(await house.events("governed.batch.finished.v1")) == 1
