"""The order of landing, and that the same delivery may land again once another one was in between."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE ingest.batch ADD COLUMN landed_no bigint",
    # Until now the time-ordered ids were the order of landing.
    """
    UPDATE ingest.batch AS b SET landed_no = n.place
    FROM (SELECT batch_id, row_number() OVER (ORDER BY batch_id) AS place FROM ingest.batch) AS n
    WHERE n.batch_id = b.batch_id
    """,
    "ALTER TABLE ingest.batch ALTER COLUMN landed_no SET NOT NULL",
    # Governance numbered batches itself, from 1 on, and still numbers those it was told without a number:
    # all that lands from now on is later than these.
    """
    ALTER TABLE ingest.batch ALTER COLUMN landed_no
        ADD GENERATED ALWAYS AS IDENTITY (START WITH 1000000001)
    """,
    "ALTER TABLE ingest.batch ADD CONSTRAINT batch_landed_no_key UNIQUE (landed_no)",
    "DROP INDEX ingest.batch_once",
    "CREATE INDEX batch_of_period ON ingest.batch (source_id, dataset, period, landed_no)",
    "DROP INDEX ingest.batch_by_status",
    "CREATE INDEX batch_by_status ON ingest.batch (dataset, status, landed_no)",
)
BACK = (
    "DROP INDEX ingest.batch_by_status",
    "DROP INDEX ingest.batch_of_period",
    "ALTER TABLE ingest.batch DROP COLUMN landed_no",
    "CREATE INDEX batch_by_status ON ingest.batch (dataset, status, batch_id)",
    # Fails where the same delivery has landed twice since: the revision before does not know that.
    """
    CREATE UNIQUE INDEX batch_once ON ingest.batch (source_id, dataset, period, digest, terms)
        WHERE NOT is_withdrawn
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for statement in BACK:
        op.execute(statement)
