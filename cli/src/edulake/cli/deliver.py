"""Following one delivery until it is published or refused."""

import time
from typing import Any

from edulake.cli.calls import Gateway
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

FINAL = frozenset({"published", "quarantined", "refused", "withdrawn", "superseded", "held"})
#: The words for a batch's states, here and in the portal: raw 归集, governed 治理, published 发布.
TITLES = {
    "landed": "已归集",
    "governed": "已治理",
    "published": "已发布",
    "quarantined": "整批隔离",
    "refused": "已拒收",
    "withdrawn": "已撤回",
    "superseded": "已被替代",
    "held": "待确认",
}
FOLLOW_LIMIT_S = 600


class StillUnderWay(RuntimeError):
    """A batch did not end within the time allowed; it is not lost and goes on."""


def follow(gateway: Gateway, batch_id: str, console: Console, *, limit_s: float = FOLLOW_LIMIT_S) -> Any:
    """Show a progress bar until the batch is final and return it. Raises StillUnderWay."""
    deadline = time.monotonic() + limit_s
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        line = progress.add_task(TITLES["landed"], total=None)
        while time.monotonic() < deadline:
            batch = gateway.call("GET", f"/api/ingest/batches/{batch_id}")
            if batch["status"] in FINAL:
                return batch
            step = batch.get("progress") or {}
            title = TITLES.get(batch["status"], batch["status"])
            progress.update(
                line,
                description=f"{title} {step.get('step') or ''}",
                total=step.get("total"),
                completed=step.get("done") or 0,
            )
            time.sleep(0.2)
    public = (gateway.settings.public_url or gateway.base_url).rstrip("/")
    raise StillUnderWay(
        f"批次 {batch_id} 仍在处理，没有丢失；在 {public}/batches/{batch_id} 查看 / "
        "the batch is still under way and not lost; its page shows how far it is"
    )


def show_batch(batch: dict[str, Any], console: Console) -> None:
    """One batch as a small table."""
    table = Table(show_header=False, title=f"批次 {batch['batch_id']}")
    table.add_row("状态", TITLES.get(batch["status"], batch["status"]))
    table.add_row("归集行数", str(batch.get("rows_landed") or 0))
    table.add_row("通过治理", str(batch.get("rows_governed") or 0))
    table.add_row("隔离", str(batch.get("rows_quarantined") or 0))
    for rule, rows in (batch.get("quarantined_by_rule") or {}).items():
        table.add_row(f"  {rule}", str(rows))
    if batch.get("reason_zh"):
        table.add_row("原因", batch["reason_zh"])
    console.print(table)
