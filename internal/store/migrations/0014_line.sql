-- The line of those who write to a forge, and what they wrote within the last hour, for all replicas together.

-- +goose Up

-- An installation is whom the forge counts as one; until then nobody writes, because the forge refused.
CREATE TABLE line (
    installation TEXT   NOT NULL PRIMARY KEY,
    held_until   BIGINT NOT NULL DEFAULT 0,
    held_why     TEXT   NOT NULL DEFAULT '',
    seen_at      BIGINT NOT NULL
);

-- A ticket is in the line while its owner, a process, has been seen lately.
CREATE TABLE line_ticket (
    installation TEXT    NOT NULL,
    ticket       TEXT    NOT NULL,
    owner        TEXT    NOT NULL,
    object       TEXT    NOT NULL,
    urgent       INTEGER NOT NULL CHECK (urgent IN (0, 1)),
    place        BIGINT  NOT NULL, -- lower goes first
    since        BIGINT  NOT NULL,
    begun_at     BIGINT  NOT NULL DEFAULT 0, -- its turn has come: it goes before all others
    seen_at      BIGINT  NOT NULL,
    PRIMARY KEY (installation, ticket)
);

CREATE TABLE line_write (
    installation TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    ticket       TEXT   NOT NULL
);
CREATE INDEX line_write_at ON line_write(installation, at);
