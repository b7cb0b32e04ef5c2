"""Forms: bounded, with the session's token, kept as typed so that nothing is lost on a refusal."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qs

from edulake.common.errors import BadRequest, TooLarge
from fastapi import Request

MAX_FIELDS = 300


class Form:
    """What a person typed, by field name; `many` for boxes that may be ticked more than once."""

    def __init__(self, values: dict[str, list[str]] | None = None) -> None:
        self._values = values or {}

    def get(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0]

    def many(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def lines(self, name: str) -> list[str]:
        """The entries of a box with one a line; commas and blanks part them too."""
        return [entry for entry in re.split(r"[\s,;，；、]+", self.get(name)) if entry]

    def has(self, name: str) -> bool:
        return name in self._values

    def only(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.get(name) for name in names}


async def read_form(request: Request, max_bytes: int) -> Form:
    """The fields of an `application/x-www-form-urlencoded` body of at most `max_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge("表单内容过长", "the form is too large")
    try:
        values = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest("表单无法读取", "the form cannot be read") from error
    return Form(values)
