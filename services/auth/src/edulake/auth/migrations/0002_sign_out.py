"""What signing out needs to know of a session, whom a provider logged out, and legal persons."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
    ALTER TABLE auth.session
        ADD COLUMN acr text,
        ADD COLUMN provider_session text,
        ADD COLUMN id_token text;
    CREATE INDEX session_by_provider_session ON auth.session (provider_session)
        WHERE provider_session IS NOT NULL;
    CREATE TABLE auth.logout_notice (
        digest           text PRIMARY KEY,
        provider_session text,
        expires_at       timestamptz NOT NULL
    );
    CREATE INDEX logout_notice_by_expiry ON auth.logout_notice (expires_at);
    CREATE INDEX logout_notice_by_session ON auth.logout_notice (provider_session)
        WHERE provider_session IS NOT NULL;
    ALTER TABLE auth.person
        ADD COLUMN kind text NOT NULL DEFAULT 'natural' CHECK (kind IN ('natural', 'legal')),
        ADD COLUMN id_hash text;
    """)
    op.execute(_LEGAL_PERSON)
    op.execute("""
    CREATE TRIGGER legal_person_guarded BEFORE INSERT ON auth.role_assignment
        FOR EACH ROW EXECUTE FUNCTION auth.guard_legal_person()
    """)


def downgrade() -> None:
    op.execute("""
    DROP TRIGGER legal_person_guarded ON auth.role_assignment;
    DROP FUNCTION auth.guard_legal_person();
    DROP TABLE auth.logout_notice;
    ALTER TABLE auth.person DROP COLUMN kind, DROP COLUMN id_hash;
    ALTER TABLE auth.session DROP COLUMN acr, DROP COLUMN provider_session, DROP COLUMN id_token;
    """)


# The account of a body is shared by whoever holds its key: it delivers and applies, it neither decides nor administers.
_LEGAL_PERSON = """
CREATE FUNCTION auth.guard_legal_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.role NOT IN ('source_contact', 'applicant') AND EXISTS (
        SELECT FROM auth.person WHERE id = NEW.holder AND kind = 'legal'
    ) THEN
        RAISE EXCEPTION 'a legal person holds the roles of an operator only'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'legal_person_operates';
    END IF;
    RETURN NEW;
END $$
"""
