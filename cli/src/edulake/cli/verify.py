"""Does everything stored still hold: lake manifests, audit chain, bus cursors."""

import asyncio
from dataclasses import dataclass

import httpx
from edulake.cli.calls import CallFailed, Gateway, UnknownClient, no_answer
from edulake.cli.carrier import carried_state, carrier_states
from edulake.cli.readers import readers_of
from edulake.cli.state import SuiteState
from edulake.common.db import Database
from edulake.common.errors import Unavailable
from edulake.common.lake import Lake
from edulake.common.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

WHOLE = "湖：每个版本的文件都在，内容与清单相符 / every file of every version is there, its content as written down"
SIZES_ONLY = (
    "湖：每个版本的文件都在，大小与清单相符；没有重读内容，内容改动要用 --deep 才看得到 / "
    "every file of every version is there and of its size; contents were not read: --deep does"
)
NOT_COMPARED = (
    "Kafka：没有核对已转发的事件是否都在，要用 --deep / "
    "whether Kafka holds every relayed event was not looked at: --deep does"
)
UNCHECKED = "审计链无法核对 / the audit chain could not be checked"


@dataclass(frozen=True)
class Held:
    """One thing checked, in words."""

    holds: bool
    words: str


def verify_all(settings: Settings, state: SuiteState, *, deep: bool) -> list[Held]:
    """Check the stores of a running suite; nothing is changed."""
    try:
        stored = [*asyncio.run(_stores(state, deep=deep)), *_kafka(settings, state, deep=deep)]
    except Unavailable:
        words = "数据库连不上，湖与事件无法核对：用 edulake status 查看"
        stored = [Held(False, f"{words} / the database cannot be reached, lake and events are not checked")]
    else:
        readers = readers_of(state)
        stored += [
            Held(one.grade != "bad", one.words) for one in readers.told if one.words != readers.letters
        ]
        stored.append(Held(not readers.dead, readers.letters))
    return [*stored, _audit(settings, state)]


def _kafka(settings: Settings, state: SuiteState, *, deep: bool) -> list[Held]:
    """What is true of Kafka, where it carries the events."""
    found = carrier_states(settings, state)
    if deep and found and found[0].holds:
        found.append(carried_state(settings, state))
    told = [Held(one.holds, one.words) for one in found]
    if found and not deep:
        told.append(Held(True, NOT_COMPARED))
    return told


async def _stores(state: SuiteState, *, deep: bool) -> list[Held]:
    database = Database(state.admin_url)
    try:
        async with database.read() as session:
            return [*await _lake(session, Lake(state.lake_url), deep=deep), *await _bus(session)]
    finally:
        await database.close()


async def _lake(session: AsyncSession, lake: Lake, *, deep: bool) -> list[Held]:
    found = await lake.verify(session, deep=deep)
    # What a killed write left behind belongs to no version and is read by nobody.
    left = [one for one in found if one.kind == "extra-file"]
    told = [Held(False, f"湖：{one}") for one in found if one.kind != "extra-file"]
    if not told:
        told = [Held(True, WHOLE if deep else SIZES_ONLY)]
    if left:
        words = f"湖：{len(left)} 个中断写入留下的文件，不属于任何版本，下次清理时删除"
        told.append(Held(True, f"{words} / leftovers of interrupted writes, until the next vacuum"))
    return told


async def _bus(session: AsyncSession) -> list[Held]:
    ahead = await session.scalar(
        text("SELECT count(*) FROM bus.cursor WHERE pos > (SELECT last_value FROM bus.log_pos_seq)")
    )
    return [Held(not ahead, f"事件：{ahead or 0} 个游标越过日志末尾 / cursors beyond the log")]


def _audit(settings: Settings, state: SuiteState) -> Held:
    gateway = Gateway(settings, "demo-audit", state.public_url)
    try:
        answer = gateway.call("GET", "/api/gateway/audit/verify")
    except httpx.HTTPError as error:
        return Held(False, f"{UNCHECKED}: {no_answer(error, state.public_url)}")
    except (CallFailed, UnknownClient) as error:
        return Held(False, f"{UNCHECKED}: {error.args[0]}")
    finally:
        gateway.close()
    rows, wrong = answer["checked_rows"], answer["first_wrong_seq"]
    if answer["is_whole"]:
        return Held(True, f"审计链：{rows} 行首尾相接 / the audit chain is whole")
    return Held(
        False, f"审计链在第 {wrong} 行断开 / the audit chain breaks at row {wrong}: {answer['reason']}"
    )
