"""Shanghai schools as really published. The files are no part of the project; without them this is skipped."""

import csv
import io
import os
from pathlib import Path

import polars as pl
import pytest
import yaml
from edulake.governance.dataset.completeness import compare
from edulake.governance.dataset.merge import Stamp, contribute
from edulake.governance.steps.outcome import ABSORBING

ROOT = Path(__file__).parents[4]
FOLDER = Path(os.environ.get("EDULAKE_REAL_DATA", ROOT.parent / "shared" / "data" / "real"))

pytestmark = pytest.mark.skipif(
    not (FOLDER / "deliveries.yaml").is_file(),
    reason=f"no real deliveries: set EDULAKE_REAL_DATA (looked in {FOLDER.name})",
)


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("gb18030")
    header, *rows = csv.reader(io.StringIO(text))
    return header, rows


@pytest.fixture(scope="module")
def facts():
    content = yaml.safe_load((FOLDER / "deliveries.yaml").read_text("utf-8"))
    titles = {source["id"]: source["title"] for source in content["sources"]}
    return {d["source"]: (d, titles[d["source"]]) for d in content["deliveries"]}


@pytest.fixture
def deliver(facts, govern):
    def go(source, first=None, **more):
        """All of a source's file, or its `first` rows."""
        delivery, title = facts[source]
        header, rows = read(FOLDER / delivery["file"])
        rows = rows[:first]
        mapping = delivery.get("columns", {})
        outcome = govern(
            delivery["dataset"], header, rows, title=title, source={"id": source, "mapping": mapping}, **more
        )
        absorbed = outcome.findings.filter(pl.col("rule_id").is_in(ABSORBING)).height
        assert len(rows) == outcome.accepted.height + outcome.quarantined.height + absorbed
        return outcome

    return go


def quarantined_by(outcome):
    reasons = outcome.quarantined["reasons"].list.first().struct.field("rule_id")
    return dict(reasons.value_counts().iter_rows())


@pytest.fixture
def register(deliver):
    """What the merge will make of the three rosters: codes of the examination authority first."""
    parts = [deliver(source).accepted for source in ("junior-roster-a", "senior-list", "junior-roster-b")]
    return pl.concat(parts, how="diagonal").unique("school_key", keep="first", maintain_order=True)


class TestRosters:
    def test_both_junior_rosters_name_the_same_schools_without_sharing_a_code(self, deliver):
        first, second = (
            set(deliver(s).accepted["school_key"]) for s in ("junior-roster-a", "junior-roster-b")
        )
        assert len(first & second) >= 650
        assert len(first - second) <= 5

    def test_garbage_is_quarantined_for_what_it_is(self, deliver):
        assert quarantined_by(deliver("junior-roster-a")) == {
            "row.heading": 4,
            "row.total": 2,
            "school_code.conflict": 1,
        }

    def test_lost_zeros_come_back_and_are_reported(self, deliver):
        outcome = deliver("junior-roster-a")
        assert outcome.findings.filter(pl.col("rule_id") == "school_code.mended").height == 40
        assert outcome.accepted["school_code"].str.contains(r"^(\d{6}|[A-Z]{2}\d{4})$").all()

    def test_every_senior_school_is_accepted_once(self, deliver):
        outcome = deliver("senior-list")
        assert outcome.accepted["school_key"].n_unique() == 297
        assert outcome.accepted["stage"].unique().to_list() == ["4"]


class TestCutQuota:
    def test_the_first_199_rows_in_the_place_of_all_are_asked_about(self, deliver, register, standards):
        """Portal review 2.4: they passed every rule, and nothing warned."""
        contract = standards.datasets["senior_quota"]
        whole = deliver("quota-plan", references={"schools": register}).accepted
        cut = deliver("quota-plan", first=199, references={"schools": register}).accepted
        parts = contribute(None, whole, Stamp("quota-plan", 5, "2024", 1, "b1"))
        found = compare(parts, cut, Stamp("quota-plan", 5, "2024", 2, "b2"), contract, year=2026)
        assert (found.rows_before, found.exceeds) == (whole.height, ["rows"])
        assert found.keys_lost == whole.height - cut.height > 1500
        again = compare(parts, whole, Stamp("quota-plan", 5, "2024", 2, "b2"), contract, year=2026)
        assert (again.failed, again.exceeds) == (0, [])


class TestQuota:
    def test_every_fact_that_can_be_mended_goes_all_the_way(self, deliver, register):
        outcome = deliver("quota-plan", references={"schools": register})
        assert outcome.accepted.height >= 1890
        assert outcome.accepted["district_code"].unique().sort().to_list() == [
            "310104",
            "310113",
            "310114",
            "310115",
            "310120",
        ]
        assert outcome.accepted["planned_seats"].is_between(1, 500).all()

    def test_subtotals_and_totals_are_no_facts(self, deliver, register):
        reasons = quarantined_by(deliver("quota-plan", references={"schools": register}))
        assert reasons["row.subtotal"] >= 420
        assert "row.total" in reasons
        assert sum(reasons.values()) <= 450
