"""A source may name a delivery with a key of its own: the same key is the same delivery."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE ingest.batch ADD COLUMN idempotency_key text")
    op.execute(
        "CREATE UNIQUE INDEX batch_by_key ON ingest.batch (source_id, idempotency_key) "
        "WHERE idempotency_key IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE ingest.batch DROP COLUMN idempotency_key")
