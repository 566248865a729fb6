-- What references pointed to over time, and what images show and say of what they were made from.

-- +goose Up

-- Each digest that a reference was seen to point to. run numbers the unbroken times at which it pointed to one digest; the
-- row with the highest is what it points to now.
CREATE TABLE seen (
    reference  TEXT   NOT NULL,
    digest     TEXT   NOT NULL, -- index, or manifest where there is no index
    platforms  TEXT   NOT NULL DEFAULT '{}', -- platform -> manifest
    first_seen BIGINT NOT NULL DEFAULT 0,
    since      BIGINT NOT NULL DEFAULT 0, -- of the last unbroken time
    last_seen  BIGINT NOT NULL DEFAULT 0, -- within the hour
    run        BIGINT NOT NULL DEFAULT 0,
    taken_at   BIGINT NOT NULL DEFAULT 0, -- when it was last decided that images are made from it
    PRIMARY KEY (reference, digest)
);
CREATE INDEX seen_run ON seen(reference, run);

-- What a platform manifest shows and claims of what it was made from. chain is the chain id of its layers.
CREATE TABLE origin (
    digest   TEXT   NOT NULL PRIMARY KEY,
    image    TEXT   NOT NULL,
    kind     TEXT   NOT NULL,
    platform TEXT   NOT NULL DEFAULT '',
    chain    TEXT   NOT NULL DEFAULT '',
    layers   TEXT   NOT NULL DEFAULT '[]', -- diff ids
    claims   TEXT   NOT NULL DEFAULT '[]',
    problem  TEXT   NOT NULL DEFAULT '',
    read_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX origin_image ON origin(image);
CREATE INDEX origin_kind ON origin(kind);
