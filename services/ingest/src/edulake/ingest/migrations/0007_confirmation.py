"""A delivery may wait for its source's word before it lands: kept, without a number, and not announced."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATUSES = (
    "landed",
    "governed",
    "published",
    "held",
    "quarantined",
    "refused",
    "superseded",
    "withdrawn",
)
STATEMENTS = (
    # What waits has not landed, so it has no place in the order of landing yet.
    "ALTER TABLE ingest.batch ALTER COLUMN landed_no DROP IDENTITY",
    "ALTER TABLE ingest.batch ALTER COLUMN landed_no DROP NOT NULL",
    "CREATE SEQUENCE ingest.batch_landed_no OWNED BY ingest.batch.landed_no",
    """
    SELECT setval('ingest.batch_landed_no',
                  greatest((SELECT max(landed_no) FROM ingest.batch), 1000000000))
    """,
    "ALTER TABLE ingest.batch ADD COLUMN replaces jsonb",  # what it replaced, or would
    "ALTER TABLE ingest.batch ADD COLUMN objects jsonb",  # of a batch that waits
    "CREATE INDEX batch_by_digest ON ingest.batch (dataset, digest, landed_no)",
    "CREATE INDEX batch_unconfirmed ON ingest.batch (created_at) WHERE status = 'unconfirmed'",
)
BACK = (
    "DELETE FROM ingest.batch WHERE landed_no IS NULL",
    "DROP INDEX ingest.batch_unconfirmed",
    "DROP INDEX ingest.batch_by_digest",
    "ALTER TABLE ingest.batch DROP COLUMN replaces",
    "ALTER TABLE ingest.batch DROP COLUMN objects",
    "DROP SEQUENCE ingest.batch_landed_no",
    "ALTER TABLE ingest.batch ALTER COLUMN landed_no SET NOT NULL",
    "ALTER TABLE ingest.batch ALTER COLUMN landed_no ADD GENERATED ALWAYS AS IDENTITY",
    """
    SELECT setval(pg_get_serial_sequence('ingest.batch', 'landed_no'),
                  greatest((SELECT max(landed_no) FROM ingest.batch), 1000000000))
    """,
)


def allow(*statuses: str) -> None:
    listed = ", ".join(f"'{status}'" for status in statuses)
    op.execute("ALTER TABLE ingest.batch DROP CONSTRAINT batch_status_check")
    op.execute(f"ALTER TABLE ingest.batch ADD CONSTRAINT batch_status_check CHECK (status IN ({listed}))")


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    allow(*STATUSES, "unconfirmed")


def downgrade() -> None:
    for statement in BACK:
        op.execute(statement)
    allow(*STATUSES)
