-- The same text runs on SQLite and on PostgreSQL. Times are epoch milliseconds UTC, 0 for "not yet"; nothing is NULL.
-- BIGINT and not INTEGER, which has 32 bits on PostgreSQL.

-- +goose Up

-- What is inside a digest. A digest's content never changes.
CREATE TABLE inventory (
    digest      TEXT   NOT NULL PRIMARY KEY,
    image       TEXT   NOT NULL DEFAULT '',
    platform    TEXT   NOT NULL DEFAULT '',
    read_at     BIGINT NOT NULL DEFAULT 0,
    fingerprint TEXT   NOT NULL DEFAULT '',
    body        TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX inventory_image ON inventory(image, read_at);

-- The last seen state of each image's channel.
CREATE TABLE image (
    name      TEXT   NOT NULL PRIMARY KEY,
    kind      TEXT   NOT NULL DEFAULT '',
    reference TEXT   NOT NULL DEFAULT '',
    digest    TEXT   NOT NULL DEFAULT '',
    manifest  TEXT   NOT NULL DEFAULT '',
    seen_at   BIGINT NOT NULL DEFAULT 0,
    error     TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX image_digest ON image(digest);

CREATE TABLE build (
    id         TEXT   NOT NULL PRIMARY KEY,
    rollout    TEXT   NOT NULL DEFAULT '',
    image      TEXT   NOT NULL,
    key        TEXT   NOT NULL DEFAULT '',
    state      TEXT   NOT NULL CHECK (state IN ('running', 'done', 'failed', 'lost')),
    started_at BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    digest     TEXT   NOT NULL DEFAULT '',
    log        TEXT   NOT NULL DEFAULT '',
    error      TEXT   NOT NULL DEFAULT '',
    detail     TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX build_rollout ON build(rollout);
CREATE INDEX build_image ON build(image, started_at);
CREATE INDEX build_started ON build(started_at);
CREATE INDEX build_key ON build(key);
CREATE INDEX build_digest ON build(digest);

-- What came of each build key, so that the same inputs are not built again and again.
CREATE TABLE attempt (
    key     TEXT   NOT NULL PRIMARY KEY,
    image   TEXT   NOT NULL,
    outcome TEXT   NOT NULL CHECK (outcome IN ('built', 'unchanged', 'not-taken', 'failed')),
    reason  TEXT   NOT NULL DEFAULT '',
    digest  TEXT   NOT NULL DEFAULT '',
    tries   BIGINT NOT NULL DEFAULT 0 CHECK (tries >= 0),
    at      BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX attempt_image ON attempt(image, at);

CREATE TABLE plan (
    id         TEXT   NOT NULL PRIMARY KEY,
    inputs     TEXT   NOT NULL DEFAULT '',
    body       TEXT   NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL DEFAULT 0,
    applied_at BIGINT NOT NULL DEFAULT 0,
    rollout    TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX plan_created ON plan(created_at);

CREATE TABLE rollout (
    id           TEXT   NOT NULL PRIMARY KEY,
    plan         TEXT   NOT NULL DEFAULT '',
    cause        TEXT   NOT NULL DEFAULT '',
    title        TEXT   NOT NULL DEFAULT '',
    state        TEXT   NOT NULL CHECK (state IN ('planned', 'running', 'paused', 'halted', 'done', 'failed', 'cancelled')),
    reason       TEXT   NOT NULL DEFAULT '',
    detail       TEXT   NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL DEFAULT 0,
    started_at   BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    published_at BIGINT NOT NULL DEFAULT 0,
    noticed_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rollout_plan ON rollout(plan);
CREATE INDEX rollout_created ON rollout(created_at);
CREATE INDEX rollout_live ON rollout(state) WHERE state IN ('planned', 'running', 'paused', 'halted');

CREATE TABLE rollout_node (
    rollout       TEXT   NOT NULL REFERENCES rollout(id) ON DELETE CASCADE,
    image         TEXT   NOT NULL,
    kind          TEXT   NOT NULL DEFAULT '',
    tier          BIGINT NOT NULL DEFAULT 0 CHECK (tier >= 0),
    waiting       BIGINT NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    state         TEXT   NOT NULL CHECK (state IN ('waiting', 'building', 'testing', 'scanning', 'promoting', 'telling',
                         'done', 'unchanged', 'blocked', 'not-taken', 'failed', 'skipped', 'quarantined')),
    reason        TEXT   NOT NULL DEFAULT '',
    since         BIGINT NOT NULL DEFAULT 0,
    next          BIGINT NOT NULL DEFAULT 0,
    who           TEXT   NOT NULL DEFAULT '',
    attempt       BIGINT NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    before_digest TEXT   NOT NULL DEFAULT '',
    after_digest  TEXT   NOT NULL DEFAULT '',
    detail        TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (rollout, image)
);
CREATE INDEX rollout_node_image ON rollout_node(image, since);
CREATE INDEX rollout_node_live ON rollout_node(state, rollout)
    WHERE state IN ('waiting', 'building', 'testing', 'scanning', 'promoting', 'telling');

CREATE TABLE rollout_edge (
    rollout TEXT NOT NULL REFERENCES rollout(id) ON DELETE CASCADE,
    parent  TEXT NOT NULL,
    child   TEXT NOT NULL CHECK (child <> parent),
    PRIMARY KEY (rollout, parent, child)
);
CREATE INDEX rollout_edge_child ON rollout_edge(rollout, child);

CREATE TABLE promotion (
    key         TEXT   NOT NULL PRIMARY KEY,
    rollout     TEXT   NOT NULL DEFAULT '',
    image       TEXT   NOT NULL,
    channel     TEXT   NOT NULL,
    from_digest TEXT   NOT NULL DEFAULT '',
    to_digest   TEXT   NOT NULL,
    release     TEXT   NOT NULL DEFAULT '',
    at          BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX promotion_image ON promotion(image, at);
CREATE INDEX promotion_rollout ON promotion(rollout);

CREATE TABLE proposal (
    key         TEXT   NOT NULL PRIMARY KEY,
    rollout     TEXT   NOT NULL DEFAULT '',
    application TEXT   NOT NULL,
    repository  TEXT   NOT NULL DEFAULT '',
    branch      TEXT   NOT NULL DEFAULT '',
    strategy    TEXT   NOT NULL DEFAULT '',
    state       TEXT   NOT NULL CHECK (state IN ('planned', 'open', 'merged', 'built', 'running', 'closed', 'superseded')),
    number      BIGINT NOT NULL DEFAULT 0,
    url         TEXT   NOT NULL DEFAULT '',
    head        TEXT   NOT NULL DEFAULT '',
    base_commit TEXT   NOT NULL DEFAULT '',
    wants       TEXT   NOT NULL DEFAULT '',
    reason      TEXT   NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL DEFAULT 0,
    opened_at   BIGINT NOT NULL DEFAULT 0,
    merged_at   BIGINT NOT NULL DEFAULT 0,
    built_at    BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX proposal_rollout ON proposal(rollout);
CREATE INDEX proposal_application ON proposal(application, created_at);
CREATE INDEX proposal_repository ON proposal(repository, number);
CREATE INDEX proposal_live ON proposal(state) WHERE state IN ('planned', 'open', 'merged');

-- The ledger of effects on the outside, by idempotency key.
CREATE TABLE effect (
    key        TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL DEFAULT '',
    object     TEXT   NOT NULL DEFAULT '',
    started_at BIGINT NOT NULL DEFAULT 0,
    done_at    BIGINT NOT NULL DEFAULT 0,
    result     TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX effect_object ON effect(object, started_at);
CREATE INDEX effect_open ON effect(started_at) WHERE done_at = 0;

-- Append-only. Written in the transaction that makes the change.
CREATE TABLE audit (
    id     TEXT   NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT   NOT NULL,
    kind   TEXT   NOT NULL CHECK (kind IN ('human', 'automation')),
    rule   TEXT   NOT NULL DEFAULT '',
    action TEXT   NOT NULL,
    object TEXT   NOT NULL DEFAULT '',
    detail TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX audit_object ON audit(object, at);
CREATE INDEX audit_at ON audit(at);

-- The last seen state of each package repository.
CREATE TABLE repository (
    key        TEXT   NOT NULL PRIMARY KEY,
    uri        TEXT   NOT NULL DEFAULT '',
    suite      TEXT   NOT NULL DEFAULT '',
    hash       TEXT   NOT NULL DEFAULT '',
    date       BIGINT NOT NULL DEFAULT 0,
    checked_at BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT 0,
    error      TEXT   NOT NULL DEFAULT ''
);

-- The heartbeat of each scheduled job.
CREATE TABLE watcher (
    name     TEXT   NOT NULL PRIMARY KEY,
    last_run BIGINT NOT NULL DEFAULT 0,
    last_ok  BIGINT NOT NULL DEFAULT 0,
    next_run BIGINT NOT NULL DEFAULT 0,
    error    TEXT   NOT NULL DEFAULT ''
);

-- The heartbeat of each process. seen_at is that process's clock: compare it with nobody else's, watch it change.
CREATE TABLE replica (
    id      TEXT   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL DEFAULT 0
);
