-- Exceptions that are asked for while the daemon runs; others stand in the catalog.

-- +goose Up

-- What was counted last, of what is known by a number.
CREATE TABLE counter (
    name TEXT   NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

-- A finding that is accepted for a while, or is to be. Nothing is ever removed: it is the register that auditors read.
CREATE TABLE exception (
    number       BIGINT NOT NULL PRIMARY KEY, -- "EX-" and this is its id
    request      TEXT   NOT NULL UNIQUE,      -- the asker's own, so that asking twice is asking once
    finding      TEXT   NOT NULL,
    images       TEXT   NOT NULL DEFAULT '[]',
    package      TEXT   NOT NULL DEFAULT '',
    reason       TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    expires_at   BIGINT NOT NULL,
    state        TEXT   NOT NULL CHECK (state IN ('requested', 'approved', 'rejected', 'revoked')),
    requester    TEXT   NOT NULL,
    requested_at BIGINT NOT NULL,
    approver     TEXT   NOT NULL DEFAULT '',
    approved_at  BIGINT NOT NULL DEFAULT 0,
    ended_by     TEXT   NOT NULL DEFAULT '',
    ended_at     BIGINT NOT NULL DEFAULT 0,
    ended_why    TEXT   NOT NULL DEFAULT '',
    CHECK (state <> 'approved' OR (approver <> '' AND approver <> requester)),
    CHECK (state NOT IN ('rejected', 'revoked') OR ended_by <> '')
);
CREATE INDEX exception_state ON exception(state);
