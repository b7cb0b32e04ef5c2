"""Chinese names of what services call by code: datasets, fields, rules; from the contracts themselves."""

from typing import Any

from edulake.common.standards import Contract, Standards

#: Rules that every dataset has, so that no contract names them.
COMMON_RULES = {
    "cell.personal": "公开或内部的列里出现了个人号码、电话或住址",
    "batch.blocked": "整批不能继续",
    "batch.threshold": "合格行不足，整批隔离",
    "business_key.incomplete": "业务主键不完整",
    "column.unknown": "标准中没有的列",
    "grade.above_declared": "内容高于声明的级别",
    "row.duplicate": "完全重复的行",
    "row.merged": "已并入同一主键的行",
    "row.reshaped": "宽表已转为多行",
    "short_name.cut": "简称被截断",
    "text.private_use": "含有无法显示的字符",
}


class Names:
    """The words of one set of standards; what they do not know reads as its code."""

    def __init__(self, standards: Standards) -> None:
        self._standards = standards

    def _contract(self, dataset: str) -> Contract | None:
        return self._standards.datasets.get(dataset)

    @property
    def datasets(self) -> list[tuple[str, str]]:
        """(code, title) of every dataset, for a form's choices."""
        return [(name, contract.title) for name, contract in sorted(self._standards.datasets.items())]

    def dataset(self, dataset: str) -> str:
        contract = self._contract(dataset)
        return contract.title if contract else dataset

    def resource(self, resource_id: str) -> str:
        """The title of `api:schools` or `dataset:school_base`."""
        kind, _, name = resource_id.partition(":")
        api = self._standards.apis.get(name) if kind == "api" else None
        return api.title if api else self.dataset(name) or resource_id

    def columns(self, resource_id: str, columns: list[str]) -> list[str]:
        """Titles of the columns of a resource."""
        kind, _, name = resource_id.partition(":")
        api = self._standards.apis.get(name) if kind == "api" else None
        return [self.field(api.dataset if api else name, column) for column in columns]

    def value(self, dataset: str, name: str, value: Any) -> str:
        """A value as a person reads it: a code before its name, nothing as `空`."""
        if value is None:
            return "空"
        if isinstance(value, bool):
            return "是" if value else "否"
        contract = self._contract(dataset)
        tables = {field.name: field.code_table for field in contract.fields} if contract else {}
        table = self._standards.codes.get(tables.get(name) or "")
        row = table.by_code.get(str(value)) if table else None
        return f"{value} {row.name}" if row else str(value)

    def region(self, code: str) -> str:
        row = self._standards.codes["gbt2260"].by_code.get(code)
        return row.name if row else code

    def field(self, dataset: str, name: str | None) -> str:
        contract = self._contract(dataset)
        titles = {field.name: field.title for field in contract.fields} if contract else {}
        return titles.get(name or "", name or "")

    def fields(self, dataset: str) -> list[tuple[str, str]]:
        """(code, title) of the fields of a dataset, in the order of its contract."""
        contract = self._contract(dataset)
        return [(field.name, field.title) for field in contract.fields] if contract else []

    def field_code(self, dataset: str, words: str) -> str | None:
        """The code of the field that has it or is titled so; None when the dataset has no such field."""
        fields = self.fields(dataset)
        return {**{title: code for code, title in fields}, **{code: code for code, _ in fields}}.get(words)

    def rule(self, dataset: str, rule_id: str) -> str:
        contract = self._contract(dataset)
        titles = {rule.id: rule.title for rule in contract.rules} if contract else {}
        return titles.get(rule_id) or COMMON_RULES.get(rule_id, rule_id)
