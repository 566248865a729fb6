-- What is known of builds and digests besides their records.

-- +goose Up

-- How a build was made: the engine's own SLSA v1 predicate.
CREATE TABLE provenance (
    build TEXT NOT NULL PRIMARY KEY,
    body  TEXT NOT NULL
);

-- The last verdict on each digest. basis is a hash of what it rests on besides the digest: advisories, policies,
-- exceptions, other scanners. A verdict with another basis is made anew.
CREATE TABLE judgement (
    digest  TEXT   NOT NULL PRIMARY KEY,
    image   TEXT   NOT NULL,
    outcome TEXT   NOT NULL CHECK (outcome IN ('pass', 'fail', 'unknown')),
    basis   TEXT   NOT NULL,
    at      BIGINT NOT NULL, -- when it was made
    since   BIGINT NOT NULL, -- since when the outcome is this one
    next    BIGINT NOT NULL DEFAULT 0, -- when it may change by itself
    body    TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX judgement_image ON judgement(image, at);

-- What another scanner said of a digest.
CREATE TABLE scanned (
    digest  TEXT   NOT NULL,
    scanner TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    error   TEXT   NOT NULL DEFAULT '', -- why it could say nothing
    body    TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (digest, scanner)
);
