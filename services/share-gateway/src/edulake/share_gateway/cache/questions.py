"""Questions understood a moment ago: the same query string of the same API means the same call."""

from edulake.share_gateway.engine.definition import CompiledApi
from edulake.share_gateway.engine.execute import Engine
from edulake.share_gateway.engine.query import Call

KEPT_CALLS = 4096
QUERY_MAX_BYTES = 512


class Questions:
    """Remembers calls, not answers. Keys of persons and page tokens (their keys rotate) are never kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, bytes], Call] = {}

    def read(self, api: CompiledApi, query: bytes) -> Call:
        """The call a query string makes; raises what the engine raises, which is not remembered."""
        known = self._known.get((api.name, query))
        if known is not None:
            return known
        call = self._engine.validate(api, query)
        if not api.is_personal and call.after is None and len(query) <= QUERY_MAX_BYTES:
            if len(self._known) >= KEPT_CALLS:
                del self._known[next(iter(self._known))]
            self._known[api.name, query] = call
        return call
