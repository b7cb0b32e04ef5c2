"""How each field of a published version is protected."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Field → {share, minor, level} as published. What was published before this is not known to be protected,
    # so it is not served until it is published again (P8).
    "ALTER TABLE gateway.publication ADD COLUMN protection json NOT NULL DEFAULT '{}'",
    """CREATE OR REPLACE VIEW published."_current" AS
    SELECT dataset, version, columns, protection FROM gateway.publication WHERE is_current""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute('DROP VIEW published."_current"')
    op.execute("ALTER TABLE gateway.publication DROP COLUMN protection")
    op.execute(
        """CREATE VIEW published."_current" AS
        SELECT dataset, version, columns FROM gateway.publication WHERE is_current"""
    )
    op.execute('ALTER VIEW published."_current" OWNER TO edulake_gateway')
    op.execute('GRANT SELECT ON published."_current" TO edulake_reader')
