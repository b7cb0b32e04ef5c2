"""Named pause points: a test stops a real process at an exact place and kills it there.

`EDULAKE_PAUSE_AT=governance.before_commit,ingest.after_put` makes the process stop for good when it
comes to one of these points: it writes `<EDULAKE_HOME>/faults/<point>` (holding its process id) so
that the test knows, and then waits to be killed; its other tasks go on. `configure` reads the
variable once at start (`open_resources` calls it) and refuses it outside development: a production
process can never be stopped this way. Without it a point costs one set look-up.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from edulake.common.settings import Settings

VARIABLE = "EDULAKE_PAUSE_AT"


class PausePointError(RuntimeError):
    """Pause points were asked for outside development."""


@dataclass(frozen=True)
class _Asked:
    names: frozenset[str] = frozenset()
    home: Path = Path()


_asked = _Asked()


def configure(settings: Settings) -> None:
    """Read the variable for this process; PausePointError when it is set outside development."""
    global _asked  # noqa: PLW0603 - a point must be reachable from anywhere without being passed along
    names = frozenset(filter(None, os.environ.get(VARIABLE, "").split(",")))
    if names and settings.env != "development":
        raise PausePointError(f"{VARIABLE} is set: pause points exist in development only")
    _asked = _Asked(names, settings.home)


async def point(name: str) -> None:
    """Stop here for good when `name` is asked for. Names are `<service>.<place>`."""
    if name in _asked.names:
        _leave_mark(name)
        await asyncio.Event().wait()


def point_in_thread(name: str) -> None:
    """The same for code that runs in a thread: the thread stops, the event loop goes on."""
    if name in _asked.names:
        _leave_mark(name)
        while True:
            time.sleep(60)


def mark_of(home: Path, name: str) -> Path:
    """The file that appears when a process has stopped at the point."""
    return home / "faults" / name


def _leave_mark(name: str) -> None:
    mark = mark_of(_asked.home, name)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(os.getpid()))
