"""One suite, as an operator runs it; batches followed the whole way, from outside, through the gateway.

Everything runs twice: on the embedded bus, and on a real Kafka where a broker is given.
"""

import asyncio
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest
from edulake.cli.calls import CallFailed, Gateway, token_id
from edulake.cli.deliver import follow
from edulake.cli.demo import Demo, Report
from edulake.cli.main import app
from edulake.cli.verify import verify_all
from edulake.common.identity import HEADER, ContextSigner, Subject
from rich.console import Console
from typer.testing import CliRunner

if TYPE_CHECKING:
    from conftest import Suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REAL = Path(
    os.environ.get("EDULAKE_REAL_DATA", str(Path(__file__).resolve().parents[2] / "shared/data/real"))
)
OUT = Console(quiet=True)


def ask(suite: "Suite", statement: str) -> None:
    """One statement as the database's administrator."""

    async def run() -> None:
        connection = await asyncpg.connect(suite.state.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def served(steward: Gateway) -> dict[str, Any]:
    """The version of the schools that callers are answered from."""
    shown = {one["dataset"]: one for one in steward.call("GET", "/api/gateway/publications")}["school_base"]
    (current,) = [version for version in shown["versions"] if version["is_current"]]
    return dict(current)


class TestDemo:
    def test_every_row_is_governed_merged_or_quarantined_with_a_reason(self, report: Report) -> None:
        for item in report.deliveries:
            assert item.rows_landed == item.rows_governed + item.rows_merged + item.rows_quarantined
            assert bool(item.rows_quarantined) == bool(item.quarantined_by_rule)

    def test_nothing_of_it_is_missed(self, report: Report) -> None:
        assert report.missed == []

    def test_what_fits_is_published_and_what_does_not_is_refused_in_words(self, report: Report) -> None:
        assert [item.status for item in report.deliveries] == ["published"] * 4 + ["refused"]
        assert "表头" in report.deliveries[-1].refused

    def test_rosters_that_spell_differently_meet_in_the_same_schools(self, report: Report) -> None:
        assert report.schools_in_both_rosters == 55

    def test_nothing_is_answered_before_a_grant_and_all_after(self, report: Report) -> None:
        assert [call.status for call in report.calls] == [403, *([200] * (len(report.calls) - 1))]
        assert len(report.calls) == 5

    def test_a_child_is_masked_and_the_read_is_on_record(self, report: Report) -> None:
        (student,) = [call for call in report.calls if "student?" in call.request]
        record = student.answer["data"]
        assert "identity_number" not in record
        assert "*" in record["student_name"]
        assert any(row["api"] == "student" and row["kind"] == "read" for row in report.audit)


class TestCommands:
    """What a new user types, on a suite of its own state."""

    def run(self, suite: "Suite", *words: str) -> tuple[int, str]:
        known = {"EDULAKE_HOME": str(suite.settings.home), "EDULAKE_PORT": str(suite.settings.port)}
        done = CliRunner().invoke(app, list(words), env=known)
        return done.exit_code, done.output

    def test_an_own_source_delivers_an_own_file(self, suite: "Suite", report: Report, tmp_path: Path) -> None:
        mapping, file = tmp_path / "mapping.yaml", tmp_path / "own.csv"
        mapping.write_text("senior_quota: {高中: senior_school_name}", encoding="utf-8")
        own = ("--title", "自有来源", "--organisation", "示例单位", "--mapping", str(mapping))
        words = ("source", "add", "own", "--dataset", "senior_quota", *own)
        assert self.run(suite, *words)[0] == 0
        assert "第 1 版" in self.run(suite, *words)[1]
        assert "own" in self.run(suite, "source", "list")[1]
        file.write_text("商品,价格\n笔,1\n", encoding="utf-8")
        code, told = self.run(suite, "ingest", "senior_quota", str(file), "--source", "own", "--wait")
        assert (code, "Wrong header" in told) == (1, True)

    def test_a_published_version_is_gone_back_to_and_forward(self, suite: "Suite", report: Report) -> None:
        assert self.run(suite, "publications", "list")[0] == 0
        listed = suite.gateway("edulake-cli").call("GET", "/api/gateway/publications")
        (schools,) = [one["versions"] for one in listed if one["dataset"] == "school_base"]
        rows = {one["version"]: one["row_count"] for one in schools}
        for version in (1, 2):
            words = ("rollback", "school_base", str(version), "--rows", str(rows[version]))
            code, told = self.run(suite, "publications", *words)
            assert (code, f"v{version}" in told) == (0, True)
            self.governed_as_published(suite, rows[version])
        code, told = self.run(suite, "publications", "retry", "school_base")
        assert (code, "HTTP 409" in told) == (1, True)

    def governed_as_published(self, suite: "Suite", rows: int) -> None:
        """Governance followed the last rollback, and what it restored is served."""
        steward = suite.gateway("edulake-cli")

        def is_one() -> bool:
            newest = steward.call("GET", "/api/governance/datasets/school_base/versions?limit=1")["items"][0]
            now = served(steward)
            told = (now["governed_version"], now["row_count"], newest["row_count"])
            return newest["restored_from"] is not None and told == (newest["version"], rows, rows)

        suite.wait_for(is_one, "governance to follow the rollback")


class TestCutFile:
    """Portal review 2.4: the first lines of a file, sent again under the same period, lost 1,696 rows in all green."""

    def test_replaces_nothing_until_somebody_else_has_agreed(self, suite: "Suite", report: Report) -> None:
        steward, owner = suite.gateway("edulake-cli"), suite.gateway("demo-owner")
        before = self.quota(steward)
        orders = self.orders(steward)
        batch = self.deliver(suite, steward)
        assert batch["status"] == "unconfirmed", "its sender is asked first"
        confirmed = f"/api/ingest/batches/{batch['batch_id']}/confirm"
        assert steward.send("POST", confirmed, json=batch["replaces"]).status_code == 200
        held = follow(steward, batch["batch_id"], OUT)
        assert (held["status"], "缺少其中" in held["reason_zh"]) == ("held", True)
        assert self.quota(steward) == before
        assert self.orders(steward) == orders, "nothing is proven by it"

        waiting = steward.call("GET", "/api/governance/runs?state=held")["items"]
        (found,) = [run["completeness"] for run in waiting if run["batch_id"] == batch["batch_id"]]
        shown = {name: found[name] for name in ("rows_before", "rows_after", "keys_lost")}
        path = f"/api/governance/batches/{batch['batch_id']}/agree"
        assert steward.send("POST", path, json=shown).status_code == 403, "who delivered does not agree alone"
        assert owner.send("POST", path, json=shown).status_code == 202
        suite.wait_for(lambda: self.quota(steward) != before, "what was agreed to is served")
        assert self.quota(steward)["row_count"] < before["row_count"] / 2

        self.undo(suite, steward, before)

    def undo(self, suite: "Suite", steward: Gateway, before: dict[str, Any]) -> None:
        """One action brings back both what is governed and what is served."""
        body = {"version": before["version"]}
        steward.call("POST", "/api/gateway/publications/senior_quota/rollback", json=body)
        suite.wait_for(
            lambda: (
                self.quota(steward)["governed_version"] != before["governed_version"]
                and self.quota(steward)["content_digest"] == before["content_digest"]
            ),
            "governance to follow, and what it restored to be served",
        )

    def deliver(self, suite: "Suite", steward: Gateway) -> Any:
        file = suite.settings.home / "demo" / "quota.csv"
        cut = suite.settings.home / "demo" / "quota_cut.csv"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        cut.write_text("".join(lines[: len(lines) // 10]), encoding="utf-8")
        return steward.deliver("demo-quota", "senior_quota", cut, self.period(steward))

    def period(self, steward: Gateway) -> str:
        batches = steward.call("GET", "/api/ingest/batches?source=demo-quota")["items"]
        return str(batches[0]["period"])

    def quota(self, steward: Gateway) -> dict[str, Any]:
        shown = steward.call("GET", "/api/gateway/publications")
        (versions,) = [one["versions"] for one in shown if one["dataset"] == "senior_quota"]
        (current,) = [one for one in versions if one["is_current"]]
        return {
            name: current[name] for name in ("version", "governed_version", "row_count", "content_digest")
        }

    def orders(self, steward: Gateway) -> set[tuple[str, str]]:
        found = steward.call("GET", "/api/workorder/orders?source_id=demo-quota&limit=100")["items"]
        return {(one["rule_id"], one["status"]) for one in found if one["rule_id"] != "batch.completeness"}


class TestAgain:
    def test_the_same_delivery_is_the_first_batch(self, suite: "Suite", report: Report) -> None:
        steward = suite.gateway("edulake-cli")
        file = suite.settings.home / "demo" / "schools_a.csv"
        first = steward.deliver("demo-roster-a", "school_base", file, "2024")
        again = steward.deliver("demo-roster-a", "school_base", file, "2024")
        assert first["batch_id"] == again["batch_id"]

    def test_reprocessing_gives_the_same_content(self, suite: "Suite", report: Report) -> None:
        steward = suite.gateway("edulake-cli")
        file = suite.settings.home / "demo" / "schools_b.csv"
        batch = steward.deliver("demo-roster-b", "school_base", file, "2024")
        before = self.listed(suite, steward)
        steward.call("POST", f"/api/governance/batches/{batch['batch_id']}/reprocess")

        def is_newer() -> bool:
            return served(steward)["version"] > before["published_version"]

        suite.wait_for(is_newer, "the reprocessed batch to be published")
        assert self.listed(suite, steward)["content_digest"] == before["content_digest"]

    def listed(self, suite: "Suite", steward: Gateway) -> dict[str, Any]:
        """The dataset as the catalogue lists it, once it has heard of what is served now."""

        found: dict[str, Any] = {}

        def is_current() -> bool:
            found.update(steward.call("GET", "/api/catalog/resources/dataset:school_base"))
            current = served(steward)
            told = (found["published_version"], found["content_digest"])
            return told == (current["version"], current["content_digest"])

        suite.wait_for(is_current, "the catalogue to hear")
        return found

    def test_everything_stored_still_holds(self, suite: "Suite", report: Report) -> None:
        findings = verify_all(suite.settings, suite.state, deep=True)
        assert [one.words for one in findings if not one.holds] == []


class TestInside:
    """The portal reads the gateway's administration with a signed context; nobody else can."""

    @pytest.mark.parametrize(
        ("key", "audience", "status"),
        [("own", "gateway", 200), ("other", "gateway", 401), ("own", "catalog", 401)],
    )
    def test_only_a_context_signed_for_the_gateway_opens_it(
        self, suite: "Suite", key: str, audience: str, status: int
    ) -> None:
        secret = suite.settings.internal_key if key == "own" else b"x" * 64
        subject = Subject(id="person:li", kind="person", name="李", roles=frozenset({"steward"}))
        headers = {HEADER: ContextSigner(secret, "portal").sign(subject, audience)}
        url = f"{suite.state.public_url}/api/gateway/summary"
        assert httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code == status

    def test_a_context_opens_no_other_service_from_outside(self, suite: "Suite") -> None:
        subject = Subject(id="person:li", kind="person", name="李", roles=frozenset({"steward"}))
        headers = {HEADER: ContextSigner(suite.settings.internal_key, "portal").sign(subject, "catalog")}
        url = f"{suite.state.public_url}/api/catalog/resources"
        assert httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code == 401


class TestMending:
    def test_an_order_is_closed_by_the_next_clean_batch_only(self, suite: "Suite", report: Report) -> None:
        steward = suite.gateway("edulake-cli")
        path = "/api/workorder/orders?source_id=demo-roster-b"

        def order() -> dict[str, Any]:
            found = {one["rule_id"]: one for one in steward.call("GET", path)["items"]}
            return dict(found.get("district_code.known", {"status": ""}))

        suite.wait_for(lambda: order()["status"] == "open", "the order to be opened")
        dirty = (suite.settings.home / "demo" / "schools_b.csv").read_bytes().decode("gb18030")
        lines = [line for line in dirty.splitlines() if "东海" not in line and not line.startswith(",")]
        clean = suite.settings.home / "demo" / "schools_b_clean.csv"
        clean.write_bytes("\r\n".join(lines).encode("gb18030"))
        batch = steward.deliver("demo-roster-b", "school_base", clean, "2024")
        assert follow(steward, batch["batch_id"], OUT)["status"] == "published"
        suite.wait_for(lambda: order()["status"] == "closed", "the order to be closed")
        assert order()["closed_by_batch"] == batch["batch_id"]


class TestRevoking:
    def test_a_revoked_grant_fails_within_five_seconds(self, suite: "Suite", report: Report) -> None:
        caller = suite.gateway("demo-app")
        assert caller.send("GET", "/share/v1/senior-quota?limit=1").status_code == 200
        grants = caller.call("GET", "/api/catalog/grants?status=active")["items"]
        (grant,) = [one for one in grants if one["api"] == "senior-quota"]
        told = {"EDULAKE_HOME": str(suite.settings.home)}
        assert CliRunner().invoke(app, ["revoke", "grant", grant["grant_id"]], env=told).exit_code == 0
        began = time.monotonic()
        sent = began
        while caller.send("GET", "/share/v1/senior-quota?limit=1").status_code == 200:
            assert sent - began < 5
            time.sleep(0.05)
            sent = time.monotonic()
        assert caller.send("GET", "/share/v1/senior-quota?limit=1").status_code == 403

    def test_a_revoked_token_fails_within_five_seconds(self, suite: "Suite", report: Report) -> None:
        app = suite.gateway("demo-app")
        token = app.token()
        assert app.send("GET", "/share/v1/schools?limit=1").status_code == 200
        facts = {"jti": token_id(token), "reason": "测试撤销"}
        suite.gateway("demo-security").call("POST", "/api/auth/revocations", json=facts)
        began = time.monotonic()
        sent = began
        while app.send("GET", "/share/v1/schools?limit=1").status_code == 200:
            assert sent - began < 5
            time.sleep(0.05)
            sent = time.monotonic()
        assert app.send("GET", "/share/v1/schools?limit=1").status_code == 401


class TestDeadLetters:
    """The database refuses what governance wants to write; an operator mends it and replays."""

    def command(self, suite: "Suite", *words: str) -> tuple[int, str]:
        known = {"EDULAKE_HOME": str(suite.settings.home)}
        done = CliRunner().invoke(app, ["deadletters", *words], env=known)
        return done.exit_code, done.output

    def words_of(self, told: str) -> str:
        """What a table tells, however its cells were folded."""
        return re.sub(r"[\s│┃]", "", told)

    def test_a_mended_cause_and_a_replay_have_the_effect_once(self, suite: "Suite", report: Report) -> None:
        steward = suite.gateway("edulake-cli")
        suite.tell({"governance": {"EDULAKE_BUS_BACKOFF_MS": "20"}})
        ask(suite, "REVOKE INSERT ON governance.run FROM edulake_governance")
        source = (suite.settings.home / "demo" / "schools_a.csv").read_text(encoding="utf-8-sig")
        file = suite.settings.home / "demo" / "schools_dead.csv"
        file.write_text(source + ",999002,上海市黄浦死信初级中学,PUBLIC,黄浦区,初中\n", encoding="utf-8")
        batch = steward.deliver("demo-roster-a", "school_base", file, "2024")["batch_id"]
        suite.wait_for(lambda: self.command(suite, "list")[0] == 1, "the event to die")

        try:
            self.is_listed_with_its_reason(suite, batch)
        finally:
            ask(suite, "GRANT INSERT ON governance.run TO edulake_governance")
        (letter,) = suite.gateway("demo-system").call("GET", "/api/gateway/dead-letters")["items"]
        assert self.command(suite, "replay", str(letter["id"]))[0] == 0
        path = f"/api/ingest/batches/{batch}"
        suite.wait_for(lambda: steward.call("GET", path)["status"] == "published", "the batch to arrive")
        assert len(steward.call("GET", f"/api/governance/runs?batch_id={batch}")["items"]) == 1
        assert self.command(suite, "list") == (0, "没有死信 / no dead letters\n")
        assert "已处理" in self.command(suite, "list", "--all")[1]
        assert self.command(suite, "replay", str(letter["id"]))[0] == 1

    def is_listed_with_its_reason(self, suite: "Suite", batch: str) -> None:
        (letter,) = suite.gateway("demo-system").call("GET", "/api/gateway/dead-letters")["items"]
        assert (letter["consumer"], letter["tries"], letter["state"]) == ("governance", 5, "dead")
        assert "42501" in letter["reason"], "the reason names what the database said"
        number = str(letter["id"])
        assert "42501" in self.words_of(self.command(suite, "list")[1])
        assert batch in self.command(suite, "show", number)[1]
        held = {one.words: one.holds for one in verify_all(suite.settings, suite.state, deep=False)}
        assert [words for words, holds in held.items() if not holds] == [
            "事件：死信 1 封未重放（governance 1），用 edulake deadletters list 查看 / dead letters were not replayed"
        ]


class TestKilling:
    @pytest.mark.parametrize(
        "member", ["ingest", "governance", "governance-worker", "publisher", "gateway-1"]
    )
    def test_a_killed_process_comes_back_and_a_batch_still_arrives(
        self, suite: "Suite", report: Report, member: str
    ) -> None:
        steward = suite.gateway("edulake-cli")
        source = (suite.settings.home / "demo" / "schools_a.csv").read_text(encoding="utf-8-sig")
        changed = suite.settings.home / "demo" / f"schools_{member}.csv"
        changed.write_text(
            source + f",999001,上海市黄浦新增{member.replace('-', '')}初级中学,PUBLIC,黄浦区,初中\n"
        )
        batch = steward.deliver("demo-roster-a", "school_base", changed, "2024")
        suite.kill(member)
        deadline = time.monotonic() + 150
        status = ""
        while status != "published" and time.monotonic() < deadline:
            time.sleep(0.3)
            suite.supervisor.revive()
            try:
                status = steward.call("GET", f"/api/ingest/batches/{batch['batch_id']}")["status"]
            except (CallFailed, httpx.HTTPError) as error:  # the gateway itself may be away
                status = type(error).__name__
        assert status == "published"


@pytest.mark.skipif(
    not (REAL / "deliveries.yaml").exists(), reason="the real deliveries are not on this machine"
)
class TestRealFiles:
    def test_rosters_list_and_plan_go_all_the_way(self, suite: "Suite", report: Report) -> None:
        import yaml

        plan = yaml.safe_load((REAL / "deliveries.yaml").read_text(encoding="utf-8"))
        demo = Demo(suite.settings, suite.state.public_url, OUT)
        with demo:
            found = demo.run(plan, REAL)
        assert [item.status for item in found.deliveries] == ["published"] * 4 + ["refused"]
        assert "senior_quota_score" in found.deliveries[-1].refused
        assert found.missed == [], "a dataset without a contract is refused in words; that is no failure"
        assert (found.schools_in_both_rosters or 0) >= 650
        assert sum(item.rows_governed for item in found.deliveries) > 3400
        assert any("code=" in call.request and call.rows == 1 for call in found.calls)
