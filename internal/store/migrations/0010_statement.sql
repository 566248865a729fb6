-- What others say of vulnerabilities, what exceptions do, and of which types packages are.

-- +goose Up

-- OpenVEX documents that were imported, each by its own id; others are read where the catalog says.
CREATE TABLE vex (
    id          TEXT   NOT NULL PRIMARY KEY,
    version     BIGINT NOT NULL,
    author      TEXT   NOT NULL,
    statements  BIGINT NOT NULL CHECK (statements >= 0),
    imported_by TEXT   NOT NULL CHECK (imported_by <> ''),
    imported_at BIGINT NOT NULL,
    body        TEXT   NOT NULL -- JSON
);

-- What exceptions do to the findings of a digest. Whatever was judged without is judged again.
ALTER TABLE judgement ADD COLUMN uses TEXT NOT NULL DEFAULT '';
UPDATE judgement SET basis='';

-- How many packages of which type a listed inventory has, without libraries that its distribution owns: whether advisories
-- cover it is told by these.
CREATE TABLE listed_type (
    listed   BIGINT NOT NULL, -- listed.id
    type     TEXT   NOT NULL,
    packages BIGINT NOT NULL CHECK (packages > 0),
    PRIMARY KEY (listed, type)
);
INSERT INTO listed_type(listed, type, packages)
    SELECT i.listed, p.type, COUNT(*) FROM package_in i JOIN package p ON p.id = i.package WHERE i.owned = 0 GROUP BY i.listed, p.type;
