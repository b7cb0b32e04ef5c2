"""Lists as files for spreadsheets: whole, honest about what is left out, and harmless."""

import csv
import io

import pytest
from edulake.portal.export import line, safe

from .conftest import World


class TestCells:
    @pytest.mark.parametrize(
        "value",
        [
            "=1+1",
            "+8613800000000",
            "-2",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            '=HYPERLINK("http://x")',
            "  =1",
            "＝1",
            "＋1",
            "－1",
            "＠a",
        ],
    )
    def test_what_a_spreadsheet_would_run_is_text(self, value: str) -> None:
        assert safe(value) == f"'{value}"

    @pytest.mark.parametrize(
        ("value", "cell"), [(-2, "-2"), (0.5, "0.5"), (None, ""), ("学校", "学校"), ("", "")]
    )
    def test_figures_and_words_stay(self, value: object, cell: str) -> None:
        assert safe(value) == cell

    def test_commas_quotes_and_breaks_stay_inside_their_cell(self) -> None:
        cells = ["a,b", 'c"d', "e\nf"]
        assert next(csv.reader(io.StringIO(line(cells).decode()))) == cells


class TestFile:
    async def rows(self, world: World, path: str, sub: str = "li-steward") -> list[list[str]]:
        answer = await (await world.enter(sub)).get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert "attachment" in answer.headers["content-disposition"]
        assert answer.content.startswith(b"\xef\xbb\xbf")
        return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))

    async def test_holds_every_page_of_the_list(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edulake.portal.export.PAGE_ROWS", 2)
        for number in range(5):
            await world.fail_rule(f"roster-{number}")
        head, *rows = await self.rows(world, "/orders.csv")
        assert head[0] == "问题"
        assert len(rows) == 5

    async def test_keeps_the_filters(self, world: World) -> None:
        await world.fail_rule("roster-a")
        await world.fail_rule("roster-b")
        assert len(await self.rows(world, "/orders.csv?source_id=roster-a")) == 2

    async def test_says_when_it_is_cut(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edulake.portal.export.PAGE_ROWS", 1)
        vars(world.settings)["export_rows"] = 2
        for number in range(3):
            await world.fail_rule(f"roster-{number}")
        *_, last = await self.rows(world, "/orders.csv")
        assert last == ["只导出前 2 行，请缩小筛选范围后再导出"]

    async def test_of_a_silent_service_is_a_page_that_says_so(self, world: World) -> None:
        person = await world.enter("li-steward")
        world.stop("workorder")
        answer = await person.get("/orders.csv")
        assert answer.status_code == 503
        assert "工单服务暂时没有应答" in answer.text
