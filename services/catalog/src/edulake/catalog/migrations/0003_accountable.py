"""Who answers for a request and for a decision; more of a resource can be found by words.

A request a program entered before is left without: who owned it is not known here, and nobody decides on it.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
    ALTER TABLE catalog.application ADD COLUMN accountable text;
    UPDATE catalog.application SET accountable = requested_by WHERE requested_by LIKE 'person:%';
    ALTER TABLE catalog.decision ADD COLUMN accountable text;
    UPDATE catalog.decision SET accountable = decided_by;
    ALTER TABLE catalog.decision ALTER COLUMN accountable SET NOT NULL;
    ALTER TABLE catalog.decision ADD UNIQUE (application_id, accountable);
    UPDATE catalog.resource SET search_text = lower(normalize(
        concat_ws(' ', search_text, code,
                  (SELECT string_agg(item ->> 'name', ' ') FROM jsonb_array_elements(items) AS item)), NFKC));
    """)


def downgrade() -> None:
    op.execute("""
    ALTER TABLE catalog.decision DROP COLUMN accountable;
    ALTER TABLE catalog.application DROP COLUMN accountable;
    """)
