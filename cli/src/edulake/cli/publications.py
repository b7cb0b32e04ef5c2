"""`edulake publications`: what is served, releasing or trying again what is not, going back to an earlier version."""

from typing import Annotated

import typer
from edulake.cli.terminal import ask, out
from rich.box import SIMPLE_HEAD
from rich.table import Table

app = typer.Typer(
    no_args_is_help=True, help="发布：查看、放行、重试、回退 / publications: list, release, retry, rollback"
)
STEWARD = "edulake-cli"
PATH = "/api/gateway/publications"
STATES = {
    "waiting": "等待",
    "running": "发布中",
    "published": "[green]已发布[/]",
    "held": "[red]暂缓[/]",
    "blocked": "[red]受阻[/]",
    "failed": "[red]失败[/]",
}
Dataset = Annotated[str, typer.Argument(help="数据集名称 / dataset")]


@app.command("list")
def list_publications() -> None:
    """每个数据集正在使用与可回退的版本 / versions served and kept; exit 1 when one is held back."""
    found = ask(STEWARD, "GET", PATH)
    if not found:
        out.print("还没有发布 / nothing is published yet")
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in ("数据集", "名称", "使用中", "可回退", "最近一次", "原因"):
        table.add_column(heading, overflow="fold")
    for item in found:
        kept = "、".join(f"v{one['version']}" for one in item["versions"] if not one["is_current"])
        job = item["job"] or {}
        state = job.get("status", "")
        current = f"v{item['current']}" if item["current"] else "—"
        cells = (item["dataset"], item["title"], current, kept or "—", STATES.get(state, state))
        table.add_row(*cells, job.get("reason_zh") or "")
    out.print(table)
    held_back = any((item["job"] or {}).get("status") in ("held", "blocked", "failed") for item in found)
    raise typer.Exit(1 if held_back else 0)


@app.command()
def retry(dataset: Dataset) -> None:
    """原因排除后，重试受阻或失败的发布 / try again what was blocked or given up."""
    jobs = ask(STEWARD, "POST", f"{PATH}/{dataset}/retry")
    out.print(f"{dataset}：{len(jobs)} 个发布将重试 / will be tried again")


@app.command()
def release(
    dataset: Dataset, rows: Annotated[int, typer.Argument(help="暂缓版本的行数 / its rows", min=0)]
) -> None:
    """放行因数据减少而暂缓的发布 / publish what is held although it has fewer rows."""
    found = {one["dataset"]: one["job"] for one in ask(STEWARD, "GET", PATH)}
    governed = (found.get(dataset) or {}).get("governed_version", 1)
    ask(STEWARD, "POST", f"{PATH}/{dataset}/release", json={"governed_version": governed, "row_count": rows})
    out.print(f"{dataset}：治理版本 {governed} 已放行 / released")


@app.command()
def rollback(
    dataset: Dataset,
    version: Annotated[int, typer.Argument(help="已发布版本 / published version", min=1)],
    rows: Annotated[
        int | None, typer.Option(help="数据减少时须确认的该版本行数 / its rows, where much is lost", min=0)
    ] = None,
) -> None:
    """立即改用较早的已发布版本，治理区随之恢复 / serve an earlier version again; governance restores it too."""
    body = {"version": version, "agreed_rows": rows}
    current = ask(STEWARD, "POST", f"{PATH}/{dataset}/rollback", json=body)
    out.print(f"{dataset} 现在使用 v{current['version']} / is served from this version")
