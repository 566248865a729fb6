-- What a walk looks for, so that one that is to look for something else is due at once.

-- +goose Up

ALTER TABLE walk ADD COLUMN scope TEXT NOT NULL DEFAULT ''; -- a hash: of patterns and what else the catalog says of the place
ALTER TABLE walk ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0; -- until when its budget is spent, or it asked to be left alone

-- What is too old is found by its age.
CREATE INDEX seen_last ON seen(last_seen);
CREATE INDEX request_at ON request(at);
