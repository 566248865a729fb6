-- What makes the daemon look, and what it is asked for.

-- +goose Up

-- Hints that were taken, so that the same one is not taken twice, however many replicas there are. Old ones are removed.
CREATE TABLE delivery (
    webhook TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (webhook, id)
);
CREATE INDEX delivery_at ON delivery(at);

-- The last slot of each schedule that was taken, so that each is taken once.
CREATE TABLE slot (
    name TEXT   NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
);

-- What people asked for, by an id of their own, so that asking twice is asking once.
CREATE TABLE request (
    id     TEXT   NOT NULL PRIMARY KEY,
    images TEXT   NOT NULL,
    reason TEXT   NOT NULL DEFAULT '',
    actor  TEXT   NOT NULL,
    at     BIGINT NOT NULL
);

-- The newest fresh build that is wanted of each base, and the last one that was made. wanted is an input of its builds.
CREATE TABLE refresh (
    image   TEXT   NOT NULL PRIMARY KEY,
    wanted  TEXT   NOT NULL,
    cause   TEXT   NOT NULL CHECK (cause IN ('refresh', 'manual')),
    reason  TEXT   NOT NULL DEFAULT '',
    since   BIGINT NOT NULL,
    done    TEXT   NOT NULL DEFAULT '',
    done_at BIGINT NOT NULL DEFAULT 0
);
