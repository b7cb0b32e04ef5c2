"""`edulake deadletters`: events a group could not handle, and handling them again once the cause is mended."""

from typing import Annotated

import typer
from edulake.cli.terminal import ask, out
from rich.markup import escape
from rich.table import Table

app = typer.Typer(no_args_is_help=True, help="死信：查看与重放 / dead letters: list, show, replay")
STATES = {"dead": "[red]待处理[/]", "replaying": "[yellow]重放中[/]", "replayed": "[green]已处理[/]"}
OPERATOR = "demo-system"
PATH = "/api/gateway/dead-letters"


@app.command("list")
def list_letters(
    every: Annotated[bool, typer.Option("--all", help="含已重放的 / replayed ones too")] = False,
) -> None:
    """待处理的死信，最新在前 / dead letters, newest first; exit 1 when one waits."""
    query = f"?limit=200{'&all_states=true' if every else ''}"
    page = ask(OPERATOR, "GET", PATH + query)
    if not page["items"]:
        out.print("没有死信 / no dead letters")
        return
    table = Table(title="死信 / dead letters")
    for heading in ("编号", "消费组", "事件", "键", "次数", "状态", "原因", "时间"):
        table.add_column(heading, overflow="fold")
    for letter in page["items"]:
        facts = [_plain(letter[name]) for name in ("id", "consumer", "name", "key", "tries")]
        table.add_row(*facts, STATES[letter["state"]], _plain(letter["reason"]), letter["updated_at"][:19])
    out.print(table)
    if page["next"]:
        out.print("只显示最近 200 封 / only the newest 200 are shown")
    raise typer.Exit(1 if any(letter["state"] == "dead" for letter in page["items"]) else 0)


def _plain(value: object) -> str:
    """What a message says of itself, neither as markup nor as commands to the terminal."""
    return escape("".join(char if char.isprintable() else "�" for char in str(value)))


@app.command()
def show(number: Annotated[int, typer.Argument(help="编号 / number")]) -> None:
    """一封死信及其事件 / one dead letter with its event."""
    out.print_json(data=ask(OPERATOR, "GET", f"{PATH}/{number}"))


@app.command()
def replay(number: Annotated[int, typer.Argument(help="编号 / number")]) -> None:
    """原因排除后重放 / have its group handle the event again."""
    letter = ask(OPERATOR, "POST", f"{PATH}/{number}/replay")
    group, name = _plain(letter["consumer"]), _plain(letter["name"])
    out.print(f"{group} 将重新处理 {name} / it will be handled again")
