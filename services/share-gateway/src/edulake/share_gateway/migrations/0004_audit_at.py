"""What is asked of the audit by time (use, figures of the day) reads that time and not the whole chain."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX audit_at ON gateway.audit (at)")


def downgrade() -> None:
    op.execute("DROP INDEX gateway.audit_at")
