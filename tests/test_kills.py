"""`kill -9` in the middle of every step, and a broker that goes away: nothing lost, nothing doubled.

One suite governs the same deliveries twice: undisturbed on the embedded bus (the reference), then on
Kafka, where for every seed one delivery loses ingest, relay, governance worker and publisher, each at a
point of its step that the seed chooses. What is stored afterwards must be the same.
`EDULAKE_KILL_SEEDS` says how many seeds; `make test-kills` runs ten and prints the figures.
"""

import asyncio
import csv
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest
import yaml
from edulake.cli.calls import CallFailed, token_id
from edulake.cli.carrier import broker_state
from edulake.cli.demo import Demo
from edulake.cli.readers import readers_of
from edulake.cli.synthetic import write_deliveries
from edulake.cli.verify import verify_all
from edulake.common.bus.brokers import Brokers
from edulake.common.bus.lag import standings
from edulake.common.bus.probe import count_carried
from edulake.common.db import Database
from rich.console import Console

if TYPE_CHECKING:
    from conftest import Suite

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(1800)]
SEEDS = int(os.environ.get("EDULAKE_KILL_SEEDS", "3"))
#: Where each may be killed; two members of one seed never stop at the same name.
POINTS = {
    "ingest": ("ingest.before_land", "ingest.after_object", "ingest.after_commit", "bus.after_commit"),
    "relay": ("relay.before_send", "relay.before_cursor", "relay.after_cursor"),
    "governance-worker": (
        "governance.after_gather",
        "governance.step.link",
        "governance.before_lake",
        "lake.after_delta_commit",
        "lake.before_manifest",
        "governance.after_lake",
        "governance.before_commit",
        "governance.after_commit",
    ),
    "publisher": ("publisher.after_copy", "publisher.before_commit", "bus.before_commit"),
}
#: Leases short enough that what a killed worker held is taken up again soon.
QUICK = {"EDULAKE_RUN_LEASE_S": "2", "EDULAKE_PUBLISHER_LEASE_S": "2"}
#: What depends on how often a caller asked, not on what was delivered.
NOT_COMPARED = {"gateway.audit", "gateway.audit_head"}
SETTLED_LIMIT_S = 120


@dataclass
class Stored:
    """Everything that must be the same with and without kills."""

    governed: dict[str, tuple[str, int]] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    handled: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def delivery(folder: Path, seed: int) -> tuple[str, str, Path]:
    """The seed's delivery: source, dataset and file; the same bytes for the same seed."""
    dice = random.Random(seed)
    make = (_roster, _quota, _students)[seed % 3]
    return make(folder, seed, dice)


def _roster(folder: Path, seed: int, dice: random.Random) -> tuple[str, str, Path]:
    text = (folder / "schools_a.csv").read_text(encoding="utf-8-sig")
    file = folder / f"seed{seed}.csv"
    new = [f",9{seed:05d},上海市黄浦种子{seed}初级中学,PUBLIC,黄浦区,初中"]
    new += [
        f",8{seed:03d}{n:02d},上海市静安种子{seed}第{n}高级中学,PUBLIC,静安区,高中"
        for n in range(dice.randint(1, 5))
    ]
    file.write_text(text + "\n".join(new) + "\n", encoding="utf-8")
    return "demo-roster-a", "school_base", file


def _quota(folder: Path, seed: int, dice: random.Random) -> tuple[str, str, Path]:
    rows = list(csv.reader(io.StringIO((folder / "quota.csv").read_text(encoding="utf-8"))))
    for row in rows[1:]:
        if row[3].isdecimal() and dice.random() < 0.2:
            row[3] = str(int(row[3]) + seed)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    file = folder / f"seed{seed}.csv"
    file.write_text(text.getvalue(), encoding="utf-8")
    return "demo-quota", "senior_quota", file


def _students(folder: Path, seed: int, dice: random.Random) -> tuple[str, str, Path]:
    rows = [json.loads(line) for line in (folder / "students.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if dice.random() < 0.2:
            row["班级"] = f"{8 + seed}班"
    file = folder / f"seed{seed}.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return "demo-student", "student_base", file


class Run:
    """One suite with its first deliveries made."""

    def __init__(self, suite: "Suite") -> None:
        self.suite = suite
        self.folder = suite.settings.home / "demo"
        plan = yaml.safe_load(write_deliveries(self.folder).read_text(encoding="utf-8"))
        plan["deliveries"] = plan["deliveries"][:4]
        with Demo(suite.settings, suite.state.public_url, Console(quiet=True)) as demo:
            for source in plan["sources"]:
                demo._register(source, plan["deliveries"])
            for item in plan["deliveries"]:
                assert demo._deliver(item, self.folder).status == "published"
        self.steward = suite.gateway("edulake-cli")
        self.settle()

    def deliver(self, seed: int) -> str:
        """Deliver until accepted, as a source does whose connection broke; the batch."""
        source, dataset, file = delivery(self.folder, seed)
        deadline = time.monotonic() + SETTLED_LIMIT_S
        while True:
            try:
                return str(self.steward.deliver(source, dataset, file, "2024")["batch_id"])
            except (CallFailed, httpx.HTTPError) as error:
                refused = isinstance(error, CallFailed) and error.response.status_code < 500
                if refused or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def status(self, batch: str) -> str:
        try:
            return str(self.steward.call("GET", f"/api/ingest/batches/{batch}")["status"])
        except (CallFailed, httpx.HTTPError) as error:
            return type(error).__name__

    def settle(self) -> None:
        """Wait until nothing is under way: no event unread, no run, no publication."""
        self.suite.wait_for(lambda: not self.unsettled(), "everything to settle", SETTLED_LIMIT_S)

    def unsettled(self) -> dict[str, int]:
        """What is still under way, by where it waits."""
        return asyncio.run(_unsettled(self.suite.state.admin_url))

    def stored(self) -> Stored:
        self.settle()
        return asyncio.run(_stored(self.suite.state.admin_url))


async def _unsettled(url: str) -> dict[str, int]:
    database = Database(url, pool_size=1)
    try:
        async with database.read() as session:
            waiting = {one.consumer: one.events for one in await standings(session)}
    finally:
        await database.close()
    connection = await asyncpg.connect(url)
    try:
        waiting["runs"] = await connection.fetchval(
            "SELECT count(*) FROM governance.run WHERE state NOT IN ('finished', 'failed', 'cancelled')"
        )
        waiting["jobs"] = await connection.fetchval(
            "SELECT count(*) FROM gateway.publication_job WHERE status IN ('waiting', 'running')"
        )
    finally:
        await connection.close()
    return {name: count for name, count in waiting.items() if count}


async def _stored(url: str) -> Stored:
    connection = await asyncpg.connect(url)
    try:
        governed = await connection.fetch(
            "SELECT table_name, content_digest, version FROM lake.manifest WHERE zone = 'governed' AND current"
        )
        events = await connection.fetch(
            "SELECT name, count(*) FROM bus.log WHERE name <> 'access.called.v1' GROUP BY name"
        )
        handled = await connection.fetch(
            "SELECT consumer || ' ' || name AS effect, count(*) FROM bus.inbox JOIN bus.log USING (event_id) "
            "GROUP BY effect"
        )
        tables = await connection.fetch(
            "SELECT schemaname || '.' || quote_ident(tablename) AS name FROM pg_tables WHERE schemaname IN "
            "('ingest', 'governance', 'lake', 'gateway', 'catalog', 'workorder')"
        )
        views = await connection.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'published'")
        return Stored(
            # Parts hold the ids of batches, so only their number can be compared.
            governed={
                row["table_name"]: (
                    "" if "__" in row["table_name"] else row["content_digest"],
                    row["version"],
                )
                for row in governed
            },
            published={
                view: await connection.fetchval(
                    f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM published.{view} t"
                )
                for (view,) in views
            },
            events=dict(events),
            handled=dict(handled),
            rows={
                name: await connection.fetchval(f"SELECT count(*) FROM {name}")
                for (name,) in tables
                if name not in NOT_COMPARED
            },
        )
    finally:
        await connection.close()


@dataclass
class Figures:
    """What `-s` shows at the end."""

    kills: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def broker(broker_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A broker of this module's own, which it may stop."""
    broker = broker_module.Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def reference(quick: None, open_suite: Callable[..., "Suite"]) -> tuple[Path, list[Stored]]:
    """The undisturbed run: where its keys are, and what was stored after each seed."""
    run = Run(open_suite(bus="postgres"))
    stored = []
    for seed in range(SEEDS):
        batch = run.deliver(seed)
        run.suite.wait_for(partial(lambda batch: run.status(batch) == "published", batch), f"seed {seed}")
        stored.append(run.stored())
    run.suite.close()
    return run.suite.settings.home, stored


@pytest.fixture(scope="module")
def run(
    reference: tuple[Path, list[Stored]],
    broker: Any,
    new_home: Callable[[], Path],
    open_suite: Callable[..., "Suite"],
) -> Iterator[Run]:
    """The suite that will be disturbed, with the reference's keys: sealed values are then the same."""
    home = new_home()
    (home / "secrets").mkdir(mode=0o700)
    for name in ("seal.keys", "token.keys"):
        shutil.copy(reference[0] / "secrets" / name, home / "secrets" / name)
    suite = open_suite(home, bus="kafka", kafka_bootstrap=broker.bootstrap)
    yield Run(suite)
    suite.close()  # before its broker


@pytest.fixture(scope="module")
def figures(run: Run, own_prefix: str, broker: Any) -> Iterator[Figures]:
    found = Figures()
    yield found
    carried = asyncio.run(count_carried(Brokers(bootstrap=broker.bootstrap, prefix=own_prefix)))
    repeats = sum(carried.values()) - len(carried)
    told = (
        f"kills: {found.kills.total()} {dict(found.kills)}",
        f"events in Kafka: {len(carried)}, repeated by the relay and known by their id: {repeats}",
        f"seconds a seed: {[round(one, 1) for one in found.seconds]}",
    )
    sys.stdout.write("\n" + "\n".join(told) + "\n")


def points_of(seed: int) -> dict[str, str]:
    """Where each of the four is killed; ten seeds come to every point."""
    return {member: names[seed % len(names)] for member, names in POINTS.items()}


def deliver_among_kills(run: Run, seed: int, figures: Figures) -> str:
    """Deliver while each of the four is killed at its point; the batch, once it is published."""
    suite, left = run.suite, points_of(seed)
    suite.pause_at(left)
    with ThreadPoolExecutor(1) as pool:
        accepted: Future[str] = pool.submit(run.deliver, seed)
        while left:
            suite.wait_for(
                lambda: [member for member, point in left.items() if suite.has_come_to(member, point)],
                f"one of {left} to come to its point",
                SETTLED_LIMIT_S,
            )
            for member, point in list(left.items()):
                if suite.has_come_to(member, point):
                    suite.kill_paused(member)
                    figures.kills[left.pop(member)] += 1
        suite.wait_for(accepted.done, "the delivery to be accepted", SETTLED_LIMIT_S)
        batch = accepted.result()
    suite.wait_for(lambda: run.status(batch) == "published", f"batch of seed {seed}", SETTLED_LIMIT_S)
    return batch


class TestKills:
    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_what_is_stored_is_what_it_would_be_without(
        self, run: Run, reference: tuple[Path, list[Stored]], figures: Figures, seed: int
    ) -> None:
        began = time.monotonic()
        batch = deliver_among_kills(run, seed, figures)
        found, expected = run.stored(), reference[1][seed]
        figures.seconds.append(time.monotonic() - began)
        assert found.governed == expected.governed
        assert found.published == expected.published
        assert found.events == expected.events
        assert found.handled == expected.handled
        assert found.rows == expected.rows
        assert asyncio.run(versions_of(run, batch)) == (1, 1)

    def test_kafka_holds_every_event_of_the_log(self, run: Run, figures: Figures) -> None:
        run.settle()
        state = run.suite.state
        brokers = Brokers(bootstrap=state.kafka_bootstrap, prefix=state.kafka_prefix)
        carried = asyncio.run(count_carried(brokers))
        assert set(carried) == asyncio.run(announced(run))

    def test_everything_stored_still_holds(self, run: Run, figures: Figures) -> None:
        found = verify_all(run.suite.settings, run.suite.state, deep=True)
        assert [one.words for one in found if not one.holds] == []


async def versions_of(run: Run, batch: str) -> tuple[int, int]:
    """How many governed and published versions a batch made."""
    connection = await asyncpg.connect(run.suite.state.admin_url)
    try:
        governed = await connection.fetchval(
            "SELECT count(*) FROM governance.version_note WHERE batch_id::text = $1", batch
        )
        published = await connection.fetchval(
            "SELECT count(*) FROM gateway.publication WHERE batch_id::text = $1", batch
        )
    finally:
        await connection.close()
    return governed, published


async def announced(run: Run) -> set[Any]:
    connection = await asyncpg.connect(run.suite.state.admin_url)
    try:
        return {row["event_id"] for row in await connection.fetch("SELECT event_id FROM bus.log")}
    finally:
        await connection.close()


class TestBrokerAway:
    def test_what_was_delivered_meanwhile_is_published_in_order(self, run: Run, broker: Any) -> None:
        suite = run.suite
        broker.stop(signal.SIGKILL)
        # Plans whose seats stay within the rules: one that lost a fifth of its rows would wait for a person.
        batches = [run.deliver(31 + 3 * number) for number in range(3)]
        told = broker_state(suite.settings, suite.state)
        assert not told.holds
        assert suite.state.kafka_bootstrap in told.words
        assert any("relay 有" in one.words for one in readers_of(suite.state).told)
        suite.wait_for(lambda: {run.status(batch) for batch in batches} == {"landed"}, "three landed batches")
        refuse_token(suite)
        broker.start()
        suite.wait_for(
            lambda: {run.status(batch) for batch in batches} == {"published"},
            "the log to drain",
            SETTLED_LIMIT_S,
        )
        run.settle()
        assert asyncio.run(publication_order(run, batches)) == batches
        assert broker_state(suite.settings, suite.state).holds


def refuse_token(suite: "Suite") -> None:
    """A revocation holds within five seconds although its event cannot reach Kafka (P4)."""
    app = suite.gateway("demo-app")
    facts = {"jti": token_id(app.token()), "reason": "测试撤销"}
    assert app.send("GET", "/share/v1/schools?limit=1").status_code == 403  # known, without a grant
    suite.gateway("demo-security").call("POST", "/api/auth/revocations", json=facts)
    began = time.monotonic()
    sent = began
    while app.send("GET", "/share/v1/schools?limit=1").status_code != 401:
        assert sent - began < 5
        time.sleep(0.05)
        sent = time.monotonic()


async def publication_order(run: Run, batches: list[str]) -> list[str]:
    connection = await asyncpg.connect(run.suite.state.admin_url)
    try:
        rows = await connection.fetch(
            "SELECT batch_id::text FROM gateway.publication WHERE batch_id::text = ANY($1) ORDER BY version",
            batches,
        )
    finally:
        await connection.close()
    return [row["batch_id"] for row in rows]
