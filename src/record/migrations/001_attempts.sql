-- One row an attempt. Times are RFC 3339 in UTC with a fixed number of digits, so they sort as text.
CREATE TABLE attempts (
    run_id      TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    workspace   TEXT    NOT NULL,
    platform    TEXT    NOT NULL,
    build_kind  TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    runner_type TEXT    NOT NULL,
    cpu         REAL    NOT NULL,
    memory_gb   REAL    NOT NULL,
    outcome     TEXT    NOT NULL,
    cpu_p95     REAL,
    mem_p95     REAL,
    mem_peak    REAL,
    seconds     REAL    NOT NULL,
    at          TEXT    NOT NULL,
    PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_workspace ON attempts (workspace, platform, at);
