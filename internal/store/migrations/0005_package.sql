-- Which packages are in which inventory, the other way round: so that "which images have this package?" reads a few rows
-- and decodes no inventory. Ids are 63 bits of a SHA-256 and not TEXT, since package_in has a row for each package of each
-- inventory: millions.

-- +goose Up

-- One row for each package of one version, however many inventories hold it.
CREATE TABLE package (
    id             BIGINT NOT NULL PRIMARY KEY,
    type           TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    version        TEXT   NOT NULL,
    architecture   TEXT   NOT NULL DEFAULT '',
    source         TEXT   NOT NULL DEFAULT '',
    source_version TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX package_name ON package(name);
CREATE INDEX package_source ON package(source);

-- The inventories whose packages are all in package_in. An inventory without a row here is yet to be listed.
CREATE TABLE listed (
    id       BIGINT NOT NULL PRIMARY KEY,
    digest   TEXT   NOT NULL UNIQUE,
    packages BIGINT NOT NULL DEFAULT 0 CHECK (packages >= 0),
    layers   BIGINT NOT NULL DEFAULT 0 CHECK (layers >= 0),
    unknown  BIGINT NOT NULL DEFAULT 0 CHECK (unknown >= 0) -- sentences on what could not be told
);

CREATE TABLE package_in (
    package BIGINT NOT NULL, -- package.id
    listed  BIGINT NOT NULL, -- listed.id
    layer   BIGINT NOT NULL DEFAULT 0 CHECK (layer >= 0), -- index in the inventory's layers
    held    BIGINT NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    PRIMARY KEY (package, listed)
);
