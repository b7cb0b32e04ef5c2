"""Favourites; who asked and who decided lead to grants."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE catalog.favourite (
        subject text NOT NULL,
        resource_id text NOT NULL REFERENCES catalog.resource (id),
        created_at timestamptz NOT NULL,
        PRIMARY KEY (subject, resource_id)
    );
    CREATE INDEX grant_by_resource ON catalog."grant" (resource_id, status);
    CREATE INDEX application_by_organisation ON catalog.application (organisation);
    """)


def downgrade() -> None:
    op.execute("""
    DROP INDEX catalog.application_by_organisation, catalog.grant_by_resource;
    DROP TABLE catalog.favourite;
    """)
