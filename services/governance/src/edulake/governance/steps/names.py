"""School names and codes: what two spellings of one school have in common.

The core of a name is what is left without the city, the name of a district, widths, spaces and a former
name in brackets. It is only compared inside one district and one stage, so 求真中学 and
上海市宝山区求真中学 are one school there, while 奉贤校区 stays a school of its own.
"""

import re
from dataclasses import dataclass

import polars as pl
from edulake.common.standards import CodeTable
from edulake.governance.steps.text import squeeze

CODE = r"^([0-9]{6}|[A-Z]{2}[0-9]{4}|[0-9]{10})$"
#: （原上海市唐镇中学） and a second full name （上海市市东中学） are other names; （奉贤校区） is not.
_OTHER_NAME = r"\((?:原名?:?|曾用名:?|又名:?)([^()]+)\)|\((上海[^()]*(?:学校|中学|小学|附属初级中学))\)$"
_NUMERALS = "一二三四五六七八九十"


def school_name(folded: pl.Expr) -> pl.Expr:
    """The name as kept: half width turned back to Chinese brackets, no spaces, no former name."""
    bare = squeeze(folded).str.replace_all(_OTHER_NAME, "")
    return pl.when(bare == "").then(squeeze(folded)).otherwise(_chinese_brackets(bare))


def other_name(folded: pl.Expr) -> pl.Expr:
    """The former or second name in brackets; null where there is none."""
    text = squeeze(folded)
    return pl.coalesce(text.str.extract(_OTHER_NAME, 1), text.str.extract(_OTHER_NAME, 2))


@dataclass(frozen=True)
class Place:
    """The city and the districts (regular expression, without 区) whose names carry nothing in a core name."""

    city: str
    districts: str
    codes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, regions: CodeTable, scope: str) -> "Place":
        """The place whose codes start with `scope` (two digits of GB/T 2260)."""
        codes: dict[str, str] = {}
        for row in regions.rows:
            if row.code.startswith(scope) and "区" in row.name:
                standing = row.code if row.successor is None else row.successor
                words = {word.removesuffix("区") for word in (row.name, *row.aliases)}
                codes |= {w: standing for w in words if re.fullmatch(r"[\u4e00-\u9fff]{2,3}", w)}
        city = regions.by_code[scope.ljust(6, "0")].name
        longest_first = sorted(codes, key=lambda word: (-len(word), word))
        return cls(city, "|".join(longest_first), tuple(sorted(codes.items())))

    def core(self, name: pl.Expr) -> pl.Expr:
        """What is compared between two names of the same district and stage. Never empty for a name."""
        short = self.city.removesuffix("市")
        text = squeeze(name.str.normalize("NFKC")).str.replace_all(_OTHER_NAME, "").str.to_uppercase()
        text = text.str.replace(f"^{self.city}", "").str.replace(f"^{short}(民办)", "${1}")
        text = text.str.replace(f"^(?:{short})?(?:{self.districts})区", "")
        text = text.str.replace(f"^(?:{short})?(?:{self.districts})(民办)", "${1}")
        text = text.str.replace(f"^市([{_NUMERALS}]+)(初级中学|中学|小学)", "第${1}${2}")
        return pl.when(text == "").then(squeeze(name)).otherwise(text)

    def region_of(self, name: pl.Expr) -> pl.Expr:
        """The code of the district written in the name (310120 in 上海市奉贤区实验中学), else null."""
        short = self.city.removesuffix("市")
        word = squeeze(name).str.extract(f"^(?:{self.city}|{short})?({self.districts})区", 1)
        return word.replace_strict(dict(self.codes), default=None, return_dtype=pl.String)


def school_code(folded: pl.Expr) -> pl.Expr:
    """A code as issued: upper case, no spaces, no spreadsheet `.0`, leading zeros back (75068 → 075068)."""
    text = squeeze(folded).str.to_uppercase().str.replace(r"\.0+$", "")
    return pl.when(text.str.contains(r"^\d{5}$")).then(pl.lit("0") + text).otherwise(text)


def looks_like_code(folded: pl.Expr) -> pl.Expr:
    """Whether the cell holds a school code and nothing else."""
    return school_code(folded).str.contains(CODE)


def looks_like_name(folded: pl.Expr) -> pl.Expr:
    """Whether the cell can be a name: at least two Chinese characters."""
    return folded.str.contains(r"\p{Han}.*\p{Han}")


def _chinese_brackets(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(r"\(", "（").str.replace_all(r"\)", "）")
