-- How many findings of a verdict are alike, so that a fleet is counted without reading its verdicts.

-- +goose Up

ALTER TABLE judgement ADD COLUMN tally TEXT NOT NULL DEFAULT '';

-- What was judged before is not counted: it is judged anew.
UPDATE judgement SET basis='';
