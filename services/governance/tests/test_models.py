"""Two ways to one schema, the models' and the migrations', must agree."""

from edulake.common.db import Database
from edulake.governance.models import Base
from sqlalchemy import text

COLUMNS = """SELECT table_name, column_name, is_nullable = 'YES' AS nullable FROM information_schema.columns
WHERE table_schema = 'governance' AND table_name <> 'schema_version'"""


async def test_models_and_migrations_name_the_same_columns(database: Database) -> None:
    async with database.read() as session:
        made = {tuple(row) for row in await session.execute(text(COLUMNS))}
    modelled = {
        (table.name, column.name, bool(column.nullable))
        for table in Base.metadata.tables.values()
        for column in table.columns
    }
    assert modelled == made
