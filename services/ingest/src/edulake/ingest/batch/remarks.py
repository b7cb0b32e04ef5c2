"""What the reader saw in a delivery that its source should mend, in words."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

#: By the reader's note: what is said of so many cells, rows or sheets.
_WORDS = {
    "imprecise_cells": (
        "{} 个 Excel 数字单元格超过 15 位，已丢失精度：请先把该列设为文本，再重新填写并报送",
        "{} number cells of more than 15 digits lost their last digits: make the column text, fill it in again",
    ),
    "error_cells": (
        "{} 个单元格是公式错误（如 #N/A），按原文保留",
        "{} cells hold a formula's error (such as #N/A) and are kept as they are",
    ),
    "ragged_rows": (
        "{} 行的列数与表头不同：请检查分隔符和引号",
        "{} rows have another width than the header: check delimiter and quotes",
    ),
    "other_sheets": (
        "另有 {} 个工作表没有读取：只读取第一个可见的工作表",
        "{} more sheets were not read: only the first visible one is",
    ),
}


class Remark(BaseModel):
    """One thing to mend before the next delivery."""

    zh: str
    en: str


def remarks_on(notes: Mapping[str, Any]) -> list[Remark]:
    """Remarks on a reader's notes, the gravest first; none when all was as it should be."""
    counted = {name: int(notes.get(name) or 0) for name in _WORDS}
    return [
        Remark(zh=zh.format(counted[name]), en=en.format(counted[name]))
        for name, (zh, en) in _WORDS.items()
        if counted[name]
    ]
