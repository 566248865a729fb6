-- Who was let go in which rollout, and when: limits are counted by it. One row of pace is locked while that is decided, so that
-- two replicas cannot both give the last place away.

-- +goose Up

CREATE TABLE told (
    rollout     TEXT   NOT NULL REFERENCES rollout(id) ON DELETE CASCADE,
    application TEXT   NOT NULL,
    repository  TEXT   NOT NULL DEFAULT '',
    lane        BIGINT NOT NULL DEFAULT 0,
    rule        TEXT   NOT NULL DEFAULT '',
    at          BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (rollout, application)
);
CREATE INDEX told_at ON told(at);

CREATE TABLE pace (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    at BIGINT NOT NULL DEFAULT 0
);
INSERT INTO pace(id) VALUES(1);
