-- Advisories as far as they are matched, and where they come from. Ids are 63 bits of a SHA-256, as those of packages.

-- +goose Up

-- How reading each source of the catalog went.
CREATE TABLE advisory_source (
    name       TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL CHECK (kind IN ('osv', 'kev', 'epss')),
    place      TEXT   NOT NULL DEFAULT '', -- the path or address that it was read from
    cursor     TEXT   NOT NULL DEFAULT '', -- what the next look goes on from; empty: from the beginning
    looked_at  BIGINT NOT NULL DEFAULT 0,
    ok_at      BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT 0,
    listed_at  BIGINT NOT NULL DEFAULT 0, -- the date that a list gives itself
    records    BIGINT NOT NULL DEFAULT 0,
    broken     BIGINT NOT NULL DEFAULT 0,
    ecosystems TEXT   NOT NULL DEFAULT '[]', -- that it has advisories for, as of the last look that worked
    problems   TEXT   NOT NULL DEFAULT '[]', -- the first broken ones
    error      TEXT   NOT NULL DEFAULT '',
    revision   BIGINT NOT NULL DEFAULT 0 -- one more with each change
);

-- A record is known by the file that holds it: several files may have the same advisory, each for another release.
CREATE TABLE advisory (
    key       BIGINT NOT NULL PRIMARY KEY,
    source    TEXT   NOT NULL,
    path      TEXT   NOT NULL,
    mark      TEXT   NOT NULL, -- the same for as long as the file is
    problem   TEXT   NOT NULL DEFAULT '', -- why the file, as it is now, cannot be read; the rest is of the one before
    id        TEXT   NOT NULL DEFAULT '',
    aliases   TEXT   NOT NULL DEFAULT '[]', -- other names of the same
    upstream  TEXT   NOT NULL DEFAULT '[]', -- what it is about, where it gathers several
    summary   TEXT   NOT NULL DEFAULT '',
    severity  TEXT   NOT NULL DEFAULT 'unknown',
    vector    TEXT   NOT NULL DEFAULT '',
    score     DOUBLE PRECISION NOT NULL DEFAULT 0,
    published BIGINT NOT NULL DEFAULT 0,
    modified  BIGINT NOT NULL DEFAULT 0,
    withdrawn BIGINT NOT NULL DEFAULT 0,
    known_at  BIGINT NOT NULL DEFAULT 0 -- when it was first read here
);
CREATE INDEX advisory_record ON advisory(source, path);

-- Which versions of a package a record affects. Withdrawn ones affect none.
CREATE TABLE advisory_package (
    ecosystem TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    advisory  BIGINT NOT NULL, -- advisory.key
    body      TEXT   NOT NULL,
    fixed_at  BIGINT NOT NULL DEFAULT 0, -- since when a version with the fix is known; 0: none is
    PRIMARY KEY (ecosystem, name, advisory)
);
CREATE INDEX advisory_package_of ON advisory_package(advisory);

-- Every name that a record can be asked for by, in capitals.
CREATE TABLE advisory_name (
    name     TEXT   NOT NULL,
    advisory BIGINT NOT NULL, -- advisory.key
    PRIMARY KEY (name, advisory)
);
CREATE INDEX advisory_name_of ON advisory_name(advisory);

-- What lists say of a CVE: since when it is known to be exploited (at), or how likely that is (value).
CREATE TABLE advisory_fact (
    source TEXT   NOT NULL,
    name   TEXT   NOT NULL,
    value  DOUBLE PRECISION NOT NULL DEFAULT 0,
    at     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (name, source)
);
CREATE INDEX advisory_fact_source ON advisory_fact(source);

-- Advisories are for a release of a distribution, and a library that the distribution owns is the distribution's to fix.
-- What was listed without these is listed again.
ALTER TABLE listed ADD COLUMN os TEXT NOT NULL DEFAULT '';
ALTER TABLE listed ADD COLUMN os_version TEXT NOT NULL DEFAULT '';
ALTER TABLE package_in ADD COLUMN owned BIGINT NOT NULL DEFAULT 0 CHECK (owned IN (0, 1));
DELETE FROM listed;
