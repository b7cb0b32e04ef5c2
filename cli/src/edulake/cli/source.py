"""`edulake source`: who may deliver which datasets, without writing a request by hand."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from edulake.cli.calls import CallFailed
from edulake.cli.terminal import ask, gateway, out
from rich.box import SIMPLE_HEAD
from rich.table import Table

app = typer.Typer(no_args_is_help=True, help="登记与查看来源 / sources that may deliver")


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(help="来源编号，小写字母、数字、- / source id")],
    dataset: Annotated[list[str], typer.Option(help="可报送的数据集，可重复 / dataset, repeatable")],
    title: Annotated[str, typer.Option(help="名称 / title")],
    organisation: Annotated[str, typer.Option(help="所属单位 / organisation")],
    contact: Annotated[str, typer.Option(help="联系人 / who may deliver")] = "client:edulake-cli",
    authority: Annotated[
        int, typer.Option(help="取值冲突时数值大者优先 / the higher wins", min=0, max=100)
    ] = 50,
    mapping: Annotated[
        Path | None,
        typer.Option(help="YAML：{数据集: {表头: 字段}} / column mapping", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """登记来源；已有的来源改为这次的内容 / register a source, or replace what it was registered as."""
    facts: dict[str, Any] = {
        "title": title,
        "organisation": organisation,
        "contact": contact,
        "authority": authority,
        "datasets": dataset,
        "mapping": _mapping(mapping),
    }
    with gateway("edulake-cli") as steward:
        answer = steward.send("POST", "/api/ingest/sources", json={"id": source, **facts})
        if answer.status_code == 409:
            answer = steward.send("PUT", f"/api/ingest/sources/{source}", json=facts)
        if answer.status_code >= 400:
            raise CallFailed(answer)
    saved = answer.json()
    out.print(f"已登记 {saved['id']}（{saved['title']}），第 {saved['revision']} 版 / registered")


@app.command("list")
def list_sources() -> None:
    """已登记的来源 / sources that are registered."""
    found = ask("edulake-cli", "GET", "/api/ingest/sources?limit=200")["items"]
    if not found:
        out.print("还没有来源；用 edulake source add 登记 / none yet: edulake source add")
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in ("编号", "名称", "单位", "优先级", "数据集"):
        table.add_column(heading, overflow="fold")
    for item in found:
        cells = (item["id"], item["title"], item["organisation"], str(item["authority"]))
        table.add_row(*cells, "、".join(item["datasets"]))
    out.print(table)


def _mapping(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise typer.BadParameter("应为 {数据集: {表头: 字段}} / a mapping of datasets is expected")
    return found
