"""The event log, the cursors of its readers, the inbox, the tries and the dead letters.

Announcing goes through `bus.announce` alone: no role may insert into the log by itself, so that every
announcer holds the lock by which `bus.horizon` knows what is still on its way.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE bus.log (
    pos bigserial PRIMARY KEY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),   -- shows what was announced together
    event_id uuid NOT NULL UNIQUE,
    topic text NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    payload jsonb NOT NULL,
    trace_id text NOT NULL,
    producer text NOT NULL,
    created_at timestamptz NOT NULL
);
-- From here on last_value is always a position that was given out, never one to come.
SELECT setval('bus.log_pos_seq', 1);

CREATE TABLE bus.cursor (                              -- every event up to pos is settled
    consumer text PRIMARY KEY,
    pos bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE bus.inbox (                               -- written in the transaction of the effect
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_handled_at ON bus.inbox (handled_at);
CREATE TABLE bus.attempt (                             -- counted before the handler runs
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    key text NOT NULL,
    tries int NOT NULL,
    next_try_at timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX attempt_key ON bus.attempt (consumer, key);
CREATE TABLE bus.dead_letter (
    id bigserial PRIMARY KEY,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    event jsonb NOT NULL,                              -- the whole envelope: the log may be purged
    reason text NOT NULL,                              -- a type and a place, never a value
    tries int NOT NULL,
    state text NOT NULL CHECK (state IN ('dead', 'replaying', 'replayed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer, event_id)
);
CREATE INDEX dead_letter_state ON bus.dead_letter (consumer, state);
"""

# 3803 in the upper 16 bits marks the announcers' locks; the rest is a position.
# The lock is taken before the position is drawn, so the lock's position is never above the event's.
ANNOUNCE = """
CREATE FUNCTION bus.announce(event_id uuid, topic text, name text, key text, payload jsonb,
                             trace_id text, created_at timestamptz)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF current_setting('edulake.announcing', true) IS DISTINCT FROM 'yes' THEN
        PERFORM pg_advisory_xact_lock_shared((3803::bigint << 48) | (SELECT last_value FROM bus.log_pos_seq));
        PERFORM set_config('edulake.announcing', 'yes', true);
    END IF;
    INSERT INTO bus.log (event_id, topic, name, key, payload, trace_id, producer, created_at)
    VALUES (event_id, topic, name, key, payload, trace_id, session_user, created_at);
    RETURN session_user;
END $$;
"""

# Everything up to the horizon is committed or will never be. The three looks must happen in this order,
# and the reading in a later statement: newest position given out, oldest announcer still open.
HORIZON = """
CREATE FUNCTION bus.horizon(after bigint)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    newest bigint;
    oldest_open bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the event log is read in READ COMMITTED only';
    END IF;
    SELECT last_value INTO newest FROM bus.log_pos_seq;
    IF newest <= after THEN
        RETURN after;
    END IF;
    SELECT min(((classid::bigint << 32) | objid::bigint) & ((1::bigint << 48) - 1)) INTO oldest_open
    FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = 3803
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN greatest(after, least(newest, oldest_open));
END $$;
"""

# Never what a reader has not passed, never anything before someone reads at all, and a bounded number.
PURGE = """
CREATE FUNCTION bus.purge(keep_days int, limit_rows int)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    purged bigint;
    old timestamptz := now() - make_interval(days => greatest(keep_days, 1));
BEGIN
    DELETE FROM bus.log WHERE pos IN (
        SELECT pos FROM bus.log
        WHERE pos <= (SELECT min(c.pos) FROM bus.cursor c) AND created_at < old
        ORDER BY pos LIMIT limit_rows);
    GET DIAGNOSTICS purged = ROW_COUNT;
    -- Kafka keeps as long as the log; twice that is when no copy of the event can come back.
    DELETE FROM bus.inbox i WHERE i.handled_at < old - make_interval(days => greatest(keep_days, 1))
        AND NOT EXISTS (SELECT FROM bus.log l WHERE l.event_id = i.event_id);
    DELETE FROM bus.attempt a WHERE EXISTS (
        SELECT FROM bus.inbox i WHERE i.consumer = a.consumer AND i.event_id = a.event_id);
    RETURN purged;
END $$;
"""

CLOSE = "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bus FROM PUBLIC"
GRANTS = """
DO $$
DECLARE
    service text;
BEGIN
    BEGIN
        CREATE ROLE edulake_relay LOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- roles are the server's, and another database may have made it
    END;
    GRANT USAGE ON SCHEMA bus TO edulake_relay;
    GRANT SELECT ON bus.log, bus.log_pos_seq TO edulake_relay;
    GRANT SELECT, INSERT, UPDATE ON bus.cursor TO edulake_relay;
    GRANT EXECUTE ON FUNCTION bus.horizon, bus.purge TO edulake_relay;
    FOR service IN
        SELECT rolname FROM pg_roles
        WHERE rolname LIKE 'edulake\\_%' AND rolname NOT IN ('edulake_reader', 'edulake_relay')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA bus TO %I', service);
        EXECUTE format('GRANT SELECT ON bus.log, bus.log_pos_seq TO %I', service);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON bus.cursor, bus.inbox, bus.attempt, '
                       'bus.dead_letter TO %I', service);
        EXECUTE format('GRANT USAGE ON SEQUENCE bus.dead_letter_id_seq TO %I', service);
        EXECUTE format('GRANT EXECUTE ON FUNCTION bus.announce, bus.horizon, bus.purge TO %I', service);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    # asyncpg prepares what it is given, and a prepared statement is one command.
    tables = [statement for statement in TABLES.split(";\n") if statement.strip()]
    for statement in (*tables, ANNOUNCE, HORIZON, PURGE, CLOSE, GRANTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION bus.announce, bus.horizon, bus.purge")
    op.execute("DROP TABLE bus.log, bus.cursor, bus.inbox, bus.attempt, bus.dead_letter")
