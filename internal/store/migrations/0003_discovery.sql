-- What discovery found in registries and on the forge, and how far its walks have come.

-- +goose Up

-- An image or a repository that was seen. The key is "image " and the reference, or "repository ", the forge's host and
-- the forge's own number of it, so that a renamed repository stays the same row.
CREATE TABLE observed (
    key        TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL CHECK (kind IN ('image', 'repository')),
    place      TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    repository TEXT   NOT NULL DEFAULT '',
    digest     TEXT   NOT NULL DEFAULT '',
    state      TEXT   NOT NULL DEFAULT '' CHECK (state IN ('', 'archived', 'disabled')),
    parents    TEXT   NOT NULL DEFAULT '[]',
    unknown    TEXT   NOT NULL DEFAULT '',
    note       TEXT   NOT NULL DEFAULT '',
    detail     TEXT   NOT NULL DEFAULT '{}',
    first_seen BIGINT NOT NULL DEFAULT 0,
    last_seen  BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT 0,
    gone_at    BIGINT NOT NULL DEFAULT 0,
    walk       BIGINT NOT NULL DEFAULT 0 -- the last one that saw it
);
CREATE INDEX observed_walk ON observed(place, walk) WHERE gone_at = 0;
CREATE INDEX observed_repository ON observed(place, repository);
CREATE INDEX observed_gone ON observed(gone_at) WHERE gone_at > 0;

-- The walk of each place, a registry or an organisation. version changes with each step, so that of two processes that
-- walk the same place one notices.
CREATE TABLE walk (
    place      TEXT   NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL DEFAULT 0,
    number     BIGINT NOT NULL DEFAULT 0, -- of the present walk, or of the last one
    phase      TEXT   NOT NULL CHECK (phase IN ('walking', 'verifying', 'complete')),
    page       TEXT   NOT NULL DEFAULT '',
    after      TEXT   NOT NULL DEFAULT '', -- the last name of the page that is done
    pages      BIGINT NOT NULL DEFAULT 0,
    tries      BIGINT NOT NULL DEFAULT 0, -- of what comes next
    seen       BIGINT NOT NULL DEFAULT 0,
    failed     BIGINT NOT NULL DEFAULT 0,
    refused    BIGINT NOT NULL DEFAULT 0, -- names that are no names
    requests   BIGINT NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NOT NULL DEFAULT 0, -- of the last complete one
    next_at    BIGINT NOT NULL DEFAULT 0
);

-- The layers of each inventory as one hash (the chain id of the OCI image specification), so that the images that another
-- one stands on are found by the hashes of its own layers.
CREATE TABLE inventory_chain (
    digest   TEXT   NOT NULL PRIMARY KEY,
    image    TEXT   NOT NULL DEFAULT '',
    platform TEXT   NOT NULL DEFAULT '',
    chain    TEXT   NOT NULL DEFAULT '',
    layers   BIGINT NOT NULL DEFAULT 0,
    read_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX inventory_chain_chain ON inventory_chain(chain);
