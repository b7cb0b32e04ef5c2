"""Who reads the events of a suite, in words: how far behind, standing still since when, and what was given up."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edulake.cli.state import SuiteState
from edulake.common.bus import count_dead_letters
from edulake.common.bus.lag import Standing, standings
from edulake.common.bus.limits import BusLimits
from edulake.common.db import Database
from edulake.common.errors import Unavailable

#: A backlog that moves and is older than this is told as a warning, as the alert of its metric is.
OLD_S = 60.0
UNKNOWN = "事件：数据库连不上，积压不明 / events: the database cannot be reached, what waits is unknown"


@dataclass(frozen=True)
class Told:
    """One thing that is true of the readers now; `bad` needs somebody at once, `warn` when there is time."""

    grade: Literal["ok", "warn", "bad"]
    words: str


@dataclass(frozen=True)
class Readers:
    """All readers of a suite's log at one moment. `dead`: dead letters that were not replayed, by group."""

    found: list[Standing]
    dead: dict[str, int]
    stuck_s: float
    is_known: bool = True

    @property
    def told(self) -> list[Told]:
        """In words, the worst readers first, then the dead letters, which stop nobody."""
        if not self.is_known:
            return [Told("bad", UNKNOWN)]
        behind = sorted((one for one in self.found if one.events), key=lambda one: -one.still_s)
        told = [self._reader(one) for one in behind]
        if not told:
            told = [Told("ok", f"事件：{len(self.found)} 个读者都已读完 / every reader has read all of them")]
        return [*told, *([Told("warn", self.letters)] if self.dead else [])]

    @property
    def letters(self) -> str:
        """The dead letters, in words."""
        if not self.dead:
            return "事件：死信 0 封 / no dead letters"
        groups = "，".join(f"{group} {count}" for group, count in sorted(self.dead.items()))
        count = sum(self.dead.values())
        words = f"事件：死信 {count} 封未重放（{groups}），用 edulake deadletters list 查看"
        return f"{words} / dead letters were not replayed"

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The same for programs."""
        return [{**asdict(one), "is_stuck": one.is_stuck(self.stuck_s)} for one in self.found]

    def _reader(self, one: Standing) -> Told:
        chinese, english = one.told
        if one.is_stuck(self.stuck_s):
            return Told("bad", f"事件停滞：{chinese}，见运行手册 / stuck: {english}, see the runbook")
        return Told("warn" if one.seconds >= OLD_S else "ok", f"事件：{chinese} / {english}")


def readers_of(state: SuiteState) -> Readers:
    """Look at the readers of a running suite; nothing is changed."""
    limit_s = BusLimits().stuck_s
    try:
        return asyncio.run(_look(state, limit_s))
    except Unavailable:
        return Readers([], {}, limit_s, is_known=False)


async def _look(state: SuiteState, limit_s: float) -> Readers:
    database = Database(state.admin_url, pool_size=1)
    try:
        async with database.read() as session:
            return Readers(await standings(session), await count_dead_letters(session), limit_s)
    finally:
        await database.close()
