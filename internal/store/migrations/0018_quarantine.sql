-- Digests that are not to be used, and channels that people move by hand.

-- +goose Up

-- A digest of an image that is never promoted, proposed or built upon until a person clears it. What was cleared stays,
-- with who cleared it.
CREATE TABLE quarantine (
    image       TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    because     TEXT   NOT NULL DEFAULT '', -- the digest that it is like or made from; empty: a person said so
    reason      TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    kind        TEXT   NOT NULL CHECK (kind IN ('human', 'automation')),
    at          BIGINT NOT NULL,
    cleared_at  BIGINT NOT NULL DEFAULT 0,
    cleared_by  TEXT   NOT NULL DEFAULT '',
    cleared_why TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (image, digest),
    CHECK (cleared_at = 0 OR cleared_by <> '')
);
CREATE INDEX quarantine_standing ON quarantine(image) WHERE cleared_at = 0;

-- A channel that a person moves: the intent, written before anything is done, and how far it has come.
CREATE TABLE channel_move (
    id          TEXT   NOT NULL PRIMARY KEY,
    verb        TEXT   NOT NULL CHECK (verb IN ('rollback', 'promote')),
    image       TEXT   NOT NULL,
    channel     TEXT   NOT NULL,
    expected    TEXT   NOT NULL DEFAULT '', -- what the channel itself pointed to, index or manifest; empty: nothing
    from_digest TEXT   NOT NULL DEFAULT '', -- the image there, by the digest of its manifest
    to_digest   TEXT   NOT NULL,
    release     TEXT   NOT NULL DEFAULT '',
    reason      TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    override    BIGINT NOT NULL DEFAULT 0 CHECK (override IN (0, 1)),
    state       TEXT   NOT NULL CHECK (state IN ('moving', 'withdrawing', 'done', 'failed')),
    problem     TEXT   NOT NULL DEFAULT '', -- why it is not further, or failed
    asked_at    BIGINT NOT NULL,
    moved_at    BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX channel_move_image ON channel_move(image, asked_at);
-- One at a time moves a channel.
CREATE UNIQUE INDEX channel_move_moving ON channel_move(image) WHERE state = 'moving';
CREATE INDEX channel_move_open ON channel_move(asked_at) WHERE state IN ('moving', 'withdrawing');
