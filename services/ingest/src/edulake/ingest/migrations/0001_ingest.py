"""Sources with their history, batches, and what is known to be published."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE ingest.source (
        id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
        title text NOT NULL,
        organisation text NOT NULL,
        contact text NOT NULL,
        authority int NOT NULL CHECK (authority BETWEEN 0 AND 100),
        datasets text[] NOT NULL,
        mapping jsonb NOT NULL,
        defaults jsonb NOT NULL,
        status text NOT NULL CHECK (status IN ('active', 'suspended')),
        revision int NOT NULL CHECK (revision > 0),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE ingest.source_revision (
        source_id text NOT NULL REFERENCES ingest.source (id),
        revision int NOT NULL,
        body jsonb NOT NULL,
        changed_by text NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (source_id, revision)
    )
    """,
    """
    CREATE TABLE ingest.batch (
        batch_id uuid PRIMARY KEY,                     -- time ordered: the order of landing
        source_id text NOT NULL REFERENCES ingest.source (id),
        dataset text NOT NULL,
        period text NOT NULL,
        digest text NOT NULL,
        terms text NOT NULL,
        filename text NOT NULL,
        format text NOT NULL,
        encoding text NOT NULL,
        size_bytes bigint NOT NULL,
        columns jsonb NOT NULL,
        notes jsonb NOT NULL,
        status text NOT NULL CHECK (status IN ('landed', 'governing', 'governed', 'published', 'quarantined',
                                               'refused', 'superseded', 'withdrawn')),
        is_withdrawn boolean NOT NULL DEFAULT false,
        rows_landed int NOT NULL CHECK (rows_landed > 0),
        rows_governed int,
        rows_quarantined int,
        quarantined_by_rule jsonb NOT NULL DEFAULT '{}',
        governed_version int,
        published_version int,
        seconds_by_step jsonb NOT NULL DEFAULT '{}',
        reason_zh text NOT NULL DEFAULT '',
        reason_en text NOT NULL DEFAULT '',
        delivered_by text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    """
    CREATE UNIQUE INDEX batch_once ON ingest.batch (source_id, dataset, period, digest, terms)
        WHERE NOT is_withdrawn
    """,
    "CREATE INDEX batch_object ON ingest.batch (dataset, digest)",
    "CREATE INDEX batch_by_status ON ingest.batch (dataset, status, batch_id)",
    """
    CREATE TABLE ingest.published (
        dataset text PRIMARY KEY,
        governed_version int NOT NULL,
        version int NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("published", "batch", "source_revision", "source"):
        op.execute(f"DROP TABLE ingest.{table}")
