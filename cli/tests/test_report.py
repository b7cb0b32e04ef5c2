"""What the demo shows fits a terminal of 80 columns and leaves no reason out."""

from io import StringIO

import pytest
from edulake.cli.report import (
    ANSWER_CHARS,
    Called,
    Delivered,
    Report,
    show_audit,
    show_calls,
    show_deliveries,
)
from rich.cells import cell_len
from rich.console import Console


@pytest.fixture
def screen() -> StringIO:
    return StringIO()


@pytest.fixture
def out(screen: StringIO) -> Console:
    return Console(file=screen, width=80, color_system=None)


def report() -> Report:
    good = Delivered("schools_a_with_a_long_name.csv", "a", "school_base", "published", 669, 662, 7)
    good.quarantined_by_rule = {"row.total": 2, "row.heading": 4, "x.unknown": 1}
    good.rule_titles = {"row.total": "数据中夹有合计行", "row.heading": "数据中夹有表头行"}
    good.seconds_by_step = {"protect": 0.5, "read": 1.25, "later": 2.0}
    bad = Delivered("wrong.csv", "b", "student_base", "refused", refused="表头不符 / Wrong header")
    calls = [Called("/share/v1/schools", 200, "t", 1, {"data": ["x" * 500]}, "授权之后")]
    calls.append(Called("/share/v1/student", 403, "t", 0, "HTTP 403 没有授权"))
    row = {"seq": 7, "at": "2026-01-01T10:20:30Z", "kind": "read", "client_id": "demo-app", "api": "student"}
    return Report([good, bad], calls, [{**row, "level": 4, "purpose": "演示", "hash": "abcdef0123456789"}])


class TestDeliveries:
    def test_every_rule_and_refusal_is_told_in_words(self, out: Console, screen: StringIO) -> None:
        show_deliveries(report(), out)
        shown = screen.getvalue()
        for words in ("4  数据中夹有表头行  [row.heading]", "[x.unknown]", "Wrong header", "已拒收", "669"):
            assert words in shown

    def test_steps_stand_in_the_order_of_the_way_and_none_is_lost(
        self, out: Console, screen: StringIO
    ) -> None:
        show_deliveries(report(), out)
        assert "读取 1.25 · 保护 0.50 · later 2.00" in screen.getvalue()

    def test_a_run_without_deliveries_still_shows_a_table(self, out: Console, screen: StringIO) -> None:
        show_deliveries(Report(), out)
        assert "raw 归集" in screen.getvalue()


class TestCalls:
    def test_a_refusal_is_shown_beside_the_answers_and_long_answers_are_cut(
        self, out: Console, screen: StringIO
    ) -> None:
        show_calls(report(), out)
        shown = screen.getvalue()
        assert "403  GET /share/v1/student" in shown
        assert "HTTP 403 没有授权" in shown
        assert shown.count("x") <= ANSWER_CHARS


class TestMissed:
    """What makes `edulake demo` end with 1, and CI with it."""

    def good(self) -> Report:
        refused = Delivered("wrong.csv", "b", "student_base", "refused", expected="refused")
        calls = [Called("/a", 403, "t", is_granted=False), Called("/b", 200, "t"), Called("/c", 200, "t")]
        return Report([Delivered("a.csv", "a", "x", "published"), refused], calls)

    def test_is_nothing_when_all_came_out_as_it_should(self) -> None:
        assert self.good().missed == []

    @pytest.mark.parametrize("status", ["refused", "quarantined", "governed"])
    def test_one_delivery_of_several_is_named(self, status: str) -> None:
        found = self.good()
        found.deliveries[0].status = status
        assert len(found.missed) == 1
        assert "a.csv" in found.missed[0]

    def test_what_should_have_been_refused_is_named(self) -> None:
        found = self.good()
        found.deliveries[1].status = "published"
        assert "wrong.csv" in found.missed[0]

    @pytest.mark.parametrize("status", [403, 404, 503])
    def test_one_granted_call_of_several_is_named(self, status: int) -> None:
        found = self.good()
        found.calls[2].status = status
        assert [words for words in found.missed if "/c" in words] == found.missed != []

    def test_no_granted_call_at_all_is_told(self) -> None:
        found = self.good()
        found.calls = found.calls[:1]
        assert len(found.missed) == 1


class TestWidth:
    def test_no_line_is_wider_than_the_terminal(self, out: Console, screen: StringIO) -> None:
        for show in (show_deliveries, show_calls, show_audit):
            show(report(), out)
        assert max(cell_len(line) for line in screen.getvalue().splitlines()) <= 80
