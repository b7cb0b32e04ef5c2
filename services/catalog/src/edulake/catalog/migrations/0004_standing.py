"""What is published, whatever the standards say of it; what was withdrawn; why an application ended; terms of a grant."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE catalog.publication (            -- one row a dataset: the version that is served
        dataset text PRIMARY KEY,
        version int NOT NULL,
        row_count bigint NOT NULL,
        content_digest text NOT NULL,
        level int NOT NULL CHECK (level BETWEEN 1 AND 5),
        published_at timestamptz NOT NULL
    );
    INSERT INTO catalog.publication
        SELECT dataset, published_version, row_count, content_digest, level, published_at
        FROM catalog.resource WHERE kind = 'dataset';
    ALTER TABLE catalog.resource ADD COLUMN withdrawn_at timestamptz;
    CREATE INDEX application_pending ON catalog.application (resource_id) WHERE status = 'pending';
    ALTER TABLE catalog.application
        ADD COLUMN ip_ranges text[] NOT NULL DEFAULT '{}',
        ADD COLUMN ended_reason text,
        DROP CONSTRAINT application_status_check,
        ADD CONSTRAINT application_status_check
            CHECK (status IN ('pending', 'approved', 'refused', 'withdrawn', 'ended')),
        ADD CHECK ((status = 'ended') = (ended_reason IS NOT NULL));
    ALTER TABLE catalog."grant" ADD CHECK (mask_level IN ('standard', 'strict'));
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE catalog.publication;
    ALTER TABLE catalog.resource DROP COLUMN withdrawn_at;
    ALTER TABLE catalog.application DROP COLUMN ip_ranges, DROP COLUMN ended_reason;
    """)
