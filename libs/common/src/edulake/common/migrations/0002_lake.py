"""The lake's manifest: one row per version of a table or per batch of sealed objects.

Every service reads it; only the two that write the lake may add to it. Nobody may delete.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

READERS = ("edulake_gateway", "edulake_catalog", "edulake_workorder", "edulake_auth")
WRITERS = ("edulake_ingest", "edulake_governance")

TABLES = """
CREATE SCHEMA IF NOT EXISTS lake;
CREATE TABLE lake.manifest (
    zone text NOT NULL,
    table_name text NOT NULL,
    version int NOT NULL CHECK (version > 0),          -- ours: 1, 2, 3… per table
    delta_version bigint,                              -- null: sealed objects, no Delta table
    batch_id text,                                     -- idempotency key of the writer
    files jsonb NOT NULL,                              -- [{path, size, sm3}], paths relative to the table
    parts jsonb,                                       -- partition values as JSON text: {digest, rows}
    log jsonb NOT NULL DEFAULT '{}',                   -- Delta commits since the version before, as text
    row_count bigint NOT NULL CHECK (row_count >= 0),
    content_digest text NOT NULL,
    restored_from int,                                 -- the version this one repeats
    vacuumed boolean NOT NULL DEFAULT false,           -- its files are gone: cannot be read or restored
    current boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (zone, table_name, version)
);
CREATE UNIQUE INDEX manifest_batch ON lake.manifest (zone, table_name, batch_id) WHERE batch_id IS NOT NULL;
CREATE UNIQUE INDEX manifest_current ON lake.manifest (zone, table_name) WHERE current;
"""

GRANTS = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ({roles}) LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA lake TO %I', name);
        EXECUTE format('GRANT SELECT ON lake.manifest TO %I', name);
        IF name IN ({writers}) THEN
            EXECUTE format('GRANT INSERT ON lake.manifest TO %I', name);
            EXECUTE format('GRANT UPDATE (current, vacuumed) ON lake.manifest TO %I', name);
        END IF;
    END LOOP;
END $$
"""


def upgrade() -> None:
    for statement in TABLES.strip().rstrip(";").split(";\n"):
        op.execute(statement)
    op.execute(GRANTS.format(roles=_quoted(READERS + WRITERS), writers=_quoted(WRITERS)))


def downgrade() -> None:
    op.execute("DROP SCHEMA lake CASCADE")


def _quoted(roles: tuple[str, ...]) -> str:
    return ", ".join(f"'{role}'" for role in roles)
