"""A call on made-up rows: the parameters are checked as the gateway checks them, the answer has its form."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from edulake.catalog.sandbox.rows import sample_rows
from edulake.common.errors import BadRequest, NotFound
from edulake.common.standards import ApiDefinition, Parameter, Standards

_HOLDS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda given, value: value == given,
    "prefix": lambda given, value: value.startswith(given),
    "in": lambda given, value: value in given.split(","),
}


class BadParameter(BadRequest):
    code, title_zh, title_en = "bad-parameter", "参数不正确", "Bad parameter"


def answer(api: ApiDefinition, asked: Mapping[str, str], standards: Standards) -> dict[str, Any]:
    """What the API would answer on the made-up rows. BadParameter names what is wrong, NotFound when `one`
    finds nothing."""
    given = {name: value.strip() for name, value in asked.items() if value.strip()}
    limit = _limit(api, given.pop("limit", ""))
    _check(api, given, standards)
    rows = sample_rows(standards.datasets[api.dataset], standards)
    hits = [row for row in rows if all(_holds(one, given, row) for one in api.parameters)]
    shown = [{name: row[name] for name in api.columns} for row in hits[:limit]]
    if api.kind == "list":
        return {"data": shown, "next": None, "version": 1}
    if not shown:
        raise NotFound("沙箱里没有这条记录", "no such record in the sandbox", where="query")
    return {"data": shown[0], "version": 1}


def _limit(api: ApiDefinition, given: str) -> int:
    if not given:
        return api.page.default
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= api.page.max:
        raise BadParameter(
            f"limit 应为 1 至 {api.page.max} 的整数",
            f"limit is a number from 1 to {api.page.max}",
            where="query.limit",
        )
    return int(given)


def _check(api: ApiDefinition, given: Mapping[str, str], standards: Standards) -> None:
    known = {one.name: one for one in api.parameters}
    for name in given:
        if name not in known:
            raise BadParameter(f"接口没有参数 {name}", f"no parameter {name}", where=f"query.{name}")
    for one in api.parameters:
        value = given.get(one.name)
        if value is None:
            if one.required:
                raise BadParameter(
                    f"缺少参数 {one.name}", f"{one.name} is missing", where=f"query.{one.name}"
                )
        else:
            _check_value(one, value, standards)


def _check_value(one: Parameter, value: str, standards: Standards) -> None:
    where = f"query.{one.name}"
    if len(value) > one.max_length:
        raise BadParameter(
            f"{one.name} 最多 {one.max_length} 个字符",
            f"{one.name} has at most {one.max_length} characters",
            where=where,
        )
    if one.pattern and not re.fullmatch(one.pattern, value):
        raise BadParameter(
            f"{one.name} 的格式不对：{one.description}", f"{one.name} is malformed", where=where
        )
    if one.code_table:
        codes = standards.codes[one.code_table].by_code
        strange = [code for code in value.split(",") if code not in codes]
        if strange:
            raise BadParameter(
                f"代码表 {one.code_table} 中没有 {'、'.join(strange)}",
                f"{one.code_table} has no {strange}",
                where=where,
            )


def _holds(one: Parameter, given: Mapping[str, str], row: Mapping[str, Any]) -> bool:
    if one.name not in given:
        return True
    value = row[one.field]
    return value is not None and _HOLDS[one.op](given[one.name], str(value))
