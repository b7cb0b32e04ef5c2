"""No batch was ever `governing`: that governance is at work is told by governance's own runs."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATUSES = ("landed", "governed", "published", "quarantined", "refused", "superseded", "withdrawn")


def allow(*statuses: str) -> None:
    listed = ", ".join(f"'{status}'" for status in statuses)
    op.execute("ALTER TABLE ingest.batch DROP CONSTRAINT batch_status_check")
    op.execute(f"ALTER TABLE ingest.batch ADD CONSTRAINT batch_status_check CHECK (status IN ({listed}))")


def upgrade() -> None:
    op.execute("UPDATE ingest.batch SET status = 'landed' WHERE status = 'governing'")
    allow(*STATUSES)


def downgrade() -> None:
    allow(*STATUSES, "governing")
