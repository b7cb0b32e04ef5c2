"""What every command shares: the two consoles, the settings, the running suite it speaks to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import typer
from edulake.cli.calls import CallFailed, Gateway, UnknownClient, no_answer
from edulake.cli.deliver import StillUnderWay
from edulake.cli.embedded import StoreFailed
from edulake.cli.state import SuiteFailed, SuiteState, running_suite
from edulake.common.settings import Settings
from pydantic import ValidationError
from rich.console import Console

out = Console()
err = Console(stderr=True)
#: Before a finding, by its grade.
MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "bad": "[red]✗[/]"}


def load_settings() -> Settings:
    """The settings of the environment, or an exit that names the wrong ones."""
    try:
        return Settings()
    except ValidationError as error:
        for item in error.errors():
            err.print(f"[red]EDULAKE_{'_'.join(map(str, item['loc'])).upper()}[/red]: {item['msg']}")
        raise typer.Exit(2) from error


def running(settings: Settings) -> SuiteState:
    """The running suite of this home, or an exit that says how to start one."""
    state = running_suite(settings)
    if state is None or not state.ready:
        err.print(
            f"[red]{settings.home} 没有在运行的系统[/red]：先执行 edulake up / no suite runs on this home"
        )
        raise typer.Exit(1)
    return state


@contextmanager
def in_words(url: str = "") -> Iterator[None]:
    """What cannot be done is said in words and ends the command with 1; a defect keeps its traceback."""
    try:
        yield
    except httpx.HTTPError as error:
        words = no_answer(error, url)
    except (CallFailed, UnknownClient, StillUnderWay, SuiteFailed, StoreFailed) as error:
        words = str(error.args[0])
    else:
        return
    err.print(words, style="red", markup=False)
    raise typer.Exit(1)


@contextmanager
def gateway(client_id: str) -> Iterator[Gateway]:
    """Calls as a development client; a refusal is printed and ends the command with 1.

    They go to the running suite of this home or, in a container of a suite, to the gateway the settings name.
    """
    settings = load_settings()
    url = settings.gateway_url or running(settings).public_url
    caller = Gateway(settings, client_id, url)
    try:
        with in_words(url):
            yield caller
    finally:
        caller.close()


def ask(client_id: str, method: str, path: str, **options: Any) -> Any:
    """One call as a development client."""
    with gateway(client_id) as caller:
        return caller.call(method, path, **options)
