-- What people ask for at pull requests, and what those are known by on the forge.

-- +goose Up

ALTER TABLE proposal ADD COLUMN line TEXT NOT NULL DEFAULT '';
ALTER TABLE proposal ADD COLUMN withdrawn_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE control (
    id          TEXT   NOT NULL PRIMARY KEY,
    repository  TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    application TEXT   NOT NULL,
    line        TEXT   NOT NULL DEFAULT '',
    action      TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    comment     BIGINT NOT NULL DEFAULT 0,
    label       TEXT   NOT NULL DEFAULT '',
    state       TEXT   NOT NULL CHECK (state IN ('asked', 'granted', 'done', 'refused')),
    at          BIGINT NOT NULL,
    until       BIGINT NOT NULL DEFAULT 0,
    acked       BIGINT NOT NULL DEFAULT 0,
    reason      TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX control_application ON control(application, state);
CREATE INDEX control_open ON control(at) WHERE state='asked' OR acked=0;
