"""Pairs as a person types them, one a line: `表头 = 字段`."""

import re

#: The full-width sign too: Chinese input methods make it.
_SIGN = re.compile("[=＝]")


class Unreadable(ValueError):
    """A line that is no pair; its words say which."""


def read_pairs(text: str, *, field_last: bool) -> dict[str, str]:
    """Line by line, empty ones left out. A field's name holds no sign, so the sign nearest to it divides
    the line: the last one with `field_last`, else the first. Raises Unreadable.
    """
    pairs: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        signs = [found.start() for found in _SIGN.finditer(line)]
        at = (signs[-1] if field_last else signs[0]) if signs else -1
        left, right = line[:at].strip(), line[at + 1 :].strip()
        if at < 0 or not left or (field_last and not right):
            raise Unreadable(f"第 {number} 行应为“左边 = 右边”")
        if left in pairs:
            raise Unreadable(f"第 {number} 行与前面重复：{left}")
        pairs[left] = right
    return pairs


def written(pairs: dict[str, str]) -> str:
    """The lines that read as these pairs."""
    return "\n".join(f"{left} = {right}" for left, right in pairs.items())
