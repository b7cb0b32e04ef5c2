"""Logs, trace ids and the words every metric shares.

A log line is a constant phrase with key-values, as JSON on standard error. Personal values never
go in; keys that usually hold them are replaced by a mark, so that a slip shows and does not leak.
"""

import logging
import re
import secrets
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import orjson
from edulake.common.clock import now

_trace: ContextVar[str] = ContextVar("trace", default="")
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
#: Field names that may hold a person; their values never reach a log.
PERSONAL = frozenset(
    {"student_name", "identity_number", "student_number", "phone", "guardian_phone", "address"}
    | {"birth_date", "password", "secret", "token", "access_token", "refresh_token", "id_token"}
    | {"authorization", "cookie"}
)


def trace_id() -> str:
    """The trace id of the present request or message, 32 hex digits (W3C Trace Context)."""
    return _trace.get() or new_trace()


def new_trace() -> str:
    """Begin a trace and return its id."""
    fresh = secrets.token_hex(16)
    _trace.set(fresh)
    return fresh


def adopt_trace(value: str | None) -> str:
    """Continue the trace of a `traceparent` header or a bare 32-digit id; begin a new one otherwise."""
    match = _TRACEPARENT.match(value or "")
    found = match.group(1) if match else value if re.fullmatch(r"[0-9a-f]{32}", value or "") else None
    if found is None or set(found) == {"0"}:
        return new_trace()
    _trace.set(found)
    return found


def traceparent() -> str:
    """The header that hands the trace on."""
    return f"00-{trace_id()}-{secrets.token_hex(8)}-01"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": now().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "log": record.name,
            "event": record.getMessage(),
            "trace_id": _trace.get() or None,
        }
        line.update(getattr(record, "facts", {}))
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            # Frames without the message: a database error repeats values of people in its text.
            line["stack"] = "".join(traceback.format_tb(record.exc_info[2]))
        return orjson.dumps(line, default=str).decode()


class Logger:
    """Constant phrases with key-values: `log.info("batch landed", rows=12)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **facts: Any) -> None:
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, event, facts)

    def exception(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, event, facts, exc_info=True)

    def _write(self, level: int, event: str, facts: Mapping[str, Any], *, exc_info: bool = False) -> None:
        safe = {name: "[withheld]" if name in PERSONAL else value for name, value in facts.items()}
        self._logger.log(level, event, extra={"facts": safe}, exc_info=exc_info)


def logger(name: str) -> Logger:
    return Logger(name)


def configure_logging(level: str) -> None:
    """Send every log of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("uvicorn.access", "httpx", "httpcore", "aiokafka.conn", "kafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
