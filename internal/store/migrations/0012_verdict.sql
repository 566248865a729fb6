-- The verdicts themselves, apart from what is counted of them: a database that looks for a row's last column reads all of
-- what is before it, and 10,000 verdicts are a gigabyte.

-- +goose Up

CREATE TABLE verdict (
    digest TEXT NOT NULL PRIMARY KEY, -- judgement.digest
    body   TEXT NOT NULL -- JSON
);
INSERT INTO verdict(digest, body) SELECT digest, body FROM judgement;
ALTER TABLE judgement DROP COLUMN body;
