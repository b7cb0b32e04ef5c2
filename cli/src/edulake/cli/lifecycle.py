"""`edulake up`, `down` and `status`: the suite of this home, started, stopped and looked at."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer
from edulake.cli.carrier import carrier_states
from edulake.cli.children import ENDING_SIGNALS
from edulake.cli.readers import readers_of
from edulake.cli.state import make_home, read_state, running_suite
from edulake.cli.suite import PYTHON, members
from edulake.cli.supervisor import Supervisor
from edulake.cli.terminal import MARKS, err, in_words, load_settings, out
from edulake.common.settings import Settings
from rich.table import Table

#: Redis and Postgres write down what they hold.
STORES_STOP_S = 30


def up(detach: Annotated[bool, typer.Option(help="在后台运行 / run in the background")] = False) -> None:
    """启动整套系统（Ctrl-C 停止）/ run the whole suite."""
    settings = load_settings()
    if detach:
        _up_detached(settings)
        return
    supervisor = Supervisor(settings, lambda line: out.print(f"· {line}"))

    def interrupt(*_: object) -> None:
        if not supervisor.stopping.is_set():  # a second one must not break off the ending
            supervisor.stopping.set()
            raise KeyboardInterrupt

    try:
        _on_signal(interrupt)
        with in_words():
            state = supervisor.start()
        _on_signal(lambda *_: supervisor.stopping.set())
        out.print(f"[bold green]教育数据湖已就绪[/] {state.public_url}  （日志 {supervisor.home / 'logs'}）")
        supervisor.watch()
    except KeyboardInterrupt:
        out.print("启动被中断，正在停止 / interrupted, stopping")
    finally:
        supervisor.stop()
    out.print("已停止 / stopped")


def _on_signal(handler: Callable[..., None]) -> None:
    for number in ENDING_SIGNALS:
        signal.signal(number, handler)


def _up_detached(settings: Settings) -> None:
    with in_words():
        log = make_home(settings) / "up.log"
    with log.open("ab") as sink:  # a suite that runs already goes on writing to it
        told_before = sink.tell()
        child = subprocess.Popen(  # noqa: S603
            [PYTHON, "-m", "edulake.cli.main", "up"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        while child.poll() is None:
            state = read_state(settings.home)
            if state and state.supervisor.pid == child.pid and state.ready:
                out.print(f"已就绪 / ready: {state.public_url}（进程 {child.pid}）")
                return
            time.sleep(0.2)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
    told = log.read_bytes()[told_before:].decode(errors="replace")
    err.print("[red]没有启动成功 / did not start[/red]")
    err.print(told[-3000:], markup=False, highlight=False)
    raise typer.Exit(1)


def down() -> None:
    """停止整套系统 / stop the suite of this home."""
    settings = load_settings()
    state = read_state(settings.home)
    if state is None or not (state.running or state.was_cut_off):
        out.print("没有在运行 / nothing runs")
        return
    if state.was_cut_off:
        with in_words():
            Supervisor(settings, lambda line: out.print(f"· {line}")).clear()
        out.print("上次没有正常停止，遗留的进程已结束 / what a killed run had left is stopped")
        return
    with suppress(ProcessLookupError):
        os.kill(state.supervisor.pid, signal.SIGTERM)
    # Gateways, then the other members, then the stores.
    deadline = time.monotonic() + 2 * settings.stop_limit_s + STORES_STOP_S
    while state.running and time.monotonic() < deadline:
        time.sleep(0.1)
    if state.running:
        err.print(f"[red]进程 {state.supervisor.pid} 没有按时结束 / did not stop in time[/red]")
        raise typer.Exit(1)
    out.print("已停止 / stopped")


def status(as_json: Annotated[bool, typer.Option("--json", help="JSON 输出 / as JSON")] = False) -> None:
    """系统在不在运行、每个进程与事件读者的状态 / what runs and reads; exit 1 when something does not."""
    settings = load_settings()
    state = running_suite(settings)
    pids = {name: one.pid for name, one in state.processes.items()} if state else {}
    listed = state.members if state else {one.name: (one.title, one.port) for one in members(settings)}
    rows = {name: state is not None and state.runs(name) for name in listed}
    carriers = carrier_states(settings, state) if state and state.ready else []
    readers = readers_of(state) if state and state.ready else None
    told = readers.told if readers else []
    moves = all(one.holds for one in carriers) and all(one.grade != "bad" for one in told)
    healthy = bool(state and state.ready and all(rows.values()) and moves)
    if as_json:
        facts = {"running": state is not None, "healthy": healthy, "members": rows, "pids": pids}
        words = [carrier.words for carrier in carriers] + [one.words for one in told]
        more = {"url": state.public_url if state else None, "bus": words}
        behind = {
            "readers": readers.facts if readers else [],
            "dead_letters": readers.dead if readers else {},
        }
        out.print_json(json.dumps({**facts, **more, **behind}))
    else:
        table = Table(title=state.public_url if state else "没有在运行 / nothing runs")
        for heading in ("进程", "名称", "状态", "PID", "端口"):
            table.add_column(heading)
        for name, (title, port) in listed.items():
            mark = "[green]运行[/]" if rows[name] else "[red]停止[/]"
            table.add_row(name, title, mark, str(pids.get(name, "")), str(port or ""))
        out.print(table)
        for carrier in carriers:
            out.print(f"{MARKS['ok' if carrier.holds else 'bad']} {carrier.words}")
        for one in told:
            out.print(f"{MARKS[one.grade]} {one.words}")
    raise typer.Exit(0 if healthy else 1)
