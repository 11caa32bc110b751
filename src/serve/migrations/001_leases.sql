-- One row a lease. What is looked for has columns of its own; the rest is the row as JSON.
CREATE TABLE leases (
    lease_id TEXT PRIMARY KEY,
    token_id TEXT NOT NULL,
    stage    TEXT NOT NULL,
    -- Seconds since 1970; NULL while it is held.
    ended_at INTEGER,
    row      TEXT NOT NULL
) STRICT;

CREATE INDEX leases_by_end ON leases (ended_at);

-- What the pool knows of itself.
CREATE TABLE pool (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
