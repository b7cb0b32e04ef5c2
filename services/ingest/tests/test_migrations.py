"""What stood before a migration stands after it."""

from importlib import import_module
from typing import Any

import asyncpg


async def test_what_landed_before_it_was_numbered_keeps_its_order_and_comes_first(
    deliver: Any, postgres_admin_url: str
) -> None:
    order = import_module("edulake.ingest.migrations.0003_landing_order")
    later = import_module("edulake.ingest.migrations.0007_confirmation")
    content = "学校代码,学校名称\n0031,{}中学\n"
    ids = [(await deliver(content.format(year), period=year)).json()["batch_id"] for year in ("2021", "2022")]

    connection = await asyncpg.connect(postgres_admin_url)
    try:
        for statement in (*later.BACK, *order.BACK, *order.STATEMENTS):
            await connection.execute(statement)
        rows = await connection.fetch("SELECT batch_id, landed_no FROM ingest.batch ORDER BY landed_no")
        assert [(str(row["batch_id"]), row["landed_no"]) for row in rows] == [
            (batch_id, number) for number, batch_id in enumerate(ids, 1)
        ]
        following = "SELECT nextval(pg_get_serial_sequence('ingest.batch', 'landed_no'))"
        assert await connection.fetchval(following) == 1_000_000_001
    finally:
        await connection.close()
