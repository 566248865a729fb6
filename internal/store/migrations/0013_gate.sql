-- Which gate a candidate did not pass, so that it can be asked again when what the gate goes by is another.

-- +goose Up

ALTER TABLE attempt ADD COLUMN gate TEXT NOT NULL DEFAULT '';
