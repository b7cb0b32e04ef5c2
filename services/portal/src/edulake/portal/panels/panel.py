"""A panel: what it asks the services, and the template that shows the answers."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from edulake.portal.clients.reply import Reply
from edulake.portal.desk import Desk

Asked = dict[str, Coroutine[Any, Any, Reply]]


@dataclass(frozen=True)
class Panel:
    """A part of the first screen, for whom a line of the policy could allow; `asks` names each reply for the template."""

    name: str
    line: tuple[str, str]
    asks: Callable[[Desk], Asked]

    @property
    def template(self) -> str:
        return f"overview/{self.name}.html"
