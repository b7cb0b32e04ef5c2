"""A batch may be held until a person has agreed to what it lacks; who delivered it does not agree alone."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATUSES = ("landed", "governed", "published", "quarantined", "refused", "superseded", "withdrawn")


def allow(*statuses: str) -> None:
    listed = ", ".join(f"'{status}'" for status in statuses)
    op.execute("ALTER TABLE ingest.batch DROP CONSTRAINT batch_status_check")
    op.execute(f"ALTER TABLE ingest.batch ADD CONSTRAINT batch_status_check CHECK (status IN ({listed}))")


def upgrade() -> None:
    allow(*STATUSES, "held")
    op.execute("ALTER TABLE ingest.batch ADD COLUMN accountable text")
    op.execute("ALTER TABLE ingest.batch ADD COLUMN refusal_holds boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("UPDATE ingest.batch SET status = 'superseded' WHERE status = 'held'")
    allow(*STATUSES)
    op.execute("ALTER TABLE ingest.batch DROP COLUMN accountable, DROP COLUMN refusal_holds")
