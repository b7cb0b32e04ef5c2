"""Which records a personal read answered, so that a read through a list is found by each of them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Tokens, never keys. Rows of before have none: they are found by what was asked.
    op.execute("ALTER TABLE gateway.audit ADD COLUMN records text[] NOT NULL DEFAULT '{}'")
    op.execute("CREATE INDEX audit_records ON gateway.audit USING gin (records) WHERE records <> '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE gateway.audit DROP COLUMN records")
