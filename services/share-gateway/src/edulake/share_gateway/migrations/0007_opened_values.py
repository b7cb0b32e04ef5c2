"""The chain also holds who was shown delivered values to mend them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
KINDS = "ALTER TABLE gateway.audit DROP CONSTRAINT audit_kind_check, ADD CONSTRAINT audit_kind_check CHECK (kind IN ({}))"


def upgrade() -> None:
    op.execute(KINDS.format("'read', 'calls', 'opened'"))


def downgrade() -> None:
    op.execute(KINDS.format("'read', 'calls'"))
