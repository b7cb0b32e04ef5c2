"""The `edulake` command. Each sub-command says what it did, or in words why it could not."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from edulake.cli import deadletters, lifecycle, publications
from edulake.cli import source as sources
from edulake.cli.calls import token_id
from edulake.cli.deliver import confirmed, exit_code, follow, show_batch
from edulake.cli.doctor import examine
from edulake.cli.terminal import MARKS, ask, err, gateway, in_words, load_settings, out, running
from edulake.cli.verify import verify_all

#: The security administrator ends any token and any grant; an owner only those he answers for.
SECURITY = "demo-security"
app = typer.Typer(no_args_is_help=True, add_completion=False, help="教育数据湖：归集、治理、共享 / EduLake")
revoke_app = typer.Typer(no_args_is_help=True, help="立即撤销令牌或授权 / revoke a token or a grant")
for command in (lifecycle.up, lifecycle.down, lifecycle.status):
    app.command()(command)
app.add_typer(revoke_app, name="revoke")
app.add_typer(deadletters.app, name="deadletters")
app.add_typer(sources.app, name="source")
app.add_typer(publications.app, name="publications")


@app.command()
def ingest(
    dataset: str,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    source: Annotated[str, typer.Option(help="来源编号 / source id")],
    period: Annotated[str, typer.Option(help="数据所属时期，如 2024 / period")] = "",
    wait: Annotated[bool, typer.Option(help="等到发布 / wait until published")] = False,
    key: Annotated[str, typer.Option(help="为这次报送起的唯一名字 / Idempotency-Key")] = "",
    confirm: Annotated[
        bool, typer.Option(help="不再询问，确认替代 / replace what it replaces, unasked")
    ] = False,
) -> None:
    """交付一个文件；替代过多时先询问 / deliver one file; asks before it replaces much.

    退出码 / exit: 0 已接收 taken, 1 没有进来 came to nothing, 3 等待确认或同意 waits for a word.
    """
    with gateway("edulake-cli") as caller:
        batch = caller.deliver(source, dataset, file, period or time.strftime("%Y"), key)
        batch = confirmed(caller, batch, out, is_meant=confirm)
        if wait and batch["status"] != "unconfirmed":
            batch = follow(caller, batch["batch_id"], out)
    show_batch(batch, out)
    raise typer.Exit(exit_code(batch["status"]))


@app.command()
def token(client: str) -> None:
    """打印开发客户端的访问令牌 / print a bearer token (development only)."""
    with gateway(client) as caller:
        out.print(caller.token(), soft_wrap=True, highlight=False)


@revoke_app.command("grant")
def revoke_grant(
    grant_id: str, reason: Annotated[str, typer.Option(help="理由 / reason")] = "运维撤销"
) -> None:
    """撤销一项授权，不论由谁批准；5 秒内全部网关失效 / revoke a grant, whoever approved it."""
    path = f"/api/catalog/grants/{grant_id}/revoke"
    ask(SECURITY, "POST", path, json={"reason": reason})
    out.print("已撤销 / revoked")


@revoke_app.command("token")
def revoke_token(value: Annotated[str, typer.Argument(help="令牌本身 / the token")]) -> None:
    """撤销一个访问令牌；5 秒内全部网关失效 / revoke a token."""
    try:
        jti = token_id(value)
    except ValueError as error:
        err.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from error
    path = "/api/auth/revocations"
    ask(SECURITY, "POST", path, json={"jti": jti, "reason": "运维撤销"})
    out.print("已撤销 / revoked")


@app.command()
def verify(deep: Annotated[bool, typer.Option(help="重读所有文件 / read every file again")] = False) -> None:
    """核对湖、审计链与事件游标 / check lake, audit chain and bus; exit 1 when something does not hold."""
    settings = load_settings()
    findings = verify_all(settings, running(settings), deep=deep)
    for finding in findings:
        mark = "[green]✓[/]" if finding.holds else "[red]✗[/]"
        out.print(f"{mark} {finding.words}")
    raise typer.Exit(0 if all(finding.holds for finding in findings) else 1)


@app.command()
def doctor() -> None:
    """检查这台机器与这份安装，用文字说明问题 / say what is wrong with this machine or installation."""
    findings = examine(load_settings())
    for finding in findings:
        out.print(f"{MARKS[finding.grade]} {finding.words}")
    raise typer.Exit(1 if any(finding.grade == "bad" for finding in findings) else 0)


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="含 deliveries.yaml 的文件夹 / folder of deliveries", exists=True, file_okay=False),
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="结果写入此文件 / write the result here")
    ] = None,
) -> None:
    """交付、治理、发布、授权、调用，全程走一遍 / the whole way of the data; exit 1 when a part of it is missed."""
    from edulake.cli.demo import run_demo  # loads polars, which no other command needs

    settings = load_settings()
    with in_words(settings.issuer):
        report = run_demo(settings, data, out)
    if as_json:
        as_json.write_text(json.dumps(asdict(report), ensure_ascii=False, indent=2, default=str))
    for one in report.missed:
        err.print(one, style="red", markup=False)
    raise typer.Exit(1 if report.missed else 0)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
