"""What was wrong with a file is told to its source, not only counted."""

from typing import Any

import httpx
import pytest
from edulake.ingest.batch.remarks import remarks_on


def test_nothing_is_said_of_a_clean_file() -> None:
    notes = {"delimiter": ",", "imprecise_cells": 0, "ragged_rows": 0, "other_sheets": 0}
    assert remarks_on(notes) == []


@pytest.mark.parametrize(
    ("notes", "zh", "en"),
    [
        ({"imprecise_cells": 12}, "12 个 Excel 数字单元格超过 15 位", "12 number cells"),
        ({"error_cells": 3}, "3 个单元格是公式错误", "3 cells"),
        ({"ragged_rows": 1}, "1 行的列数", "1 rows"),
        ({"other_sheets": 2}, "另有 2 个工作表", "2 more sheets"),
    ],
)
def test_each_note_has_its_words(notes: dict[str, Any], zh: str, en: str) -> None:
    (remark,) = remarks_on(notes)
    assert remark.zh.startswith(zh)
    assert remark.en.startswith(en)


async def test_a_batch_shows_them(client: httpx.AsyncClient, deliver: Any, contact: dict[str, str]) -> None:
    batch = (await deliver("学校代码,学校名称\n0031,求真\n0032,长征,多余\n0033,真北\n")).json()
    shown = (await client.get(f"/api/ingest/batches/{batch['batch_id']}", headers=contact)).json()
    assert [remark["zh"].split("：")[0] for remark in shown["remarks"]] == ["1 行的列数与表头不同"]
