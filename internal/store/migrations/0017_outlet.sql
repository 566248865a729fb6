-- What people and other programs are told: messages in chats and by e-mail, events to subscribers.

-- +goose Up

-- Where something is told, and how that goes. Who works for one holds it until held_until, so that of several replicas one does.
CREATE TABLE outlet (
    kind       TEXT   NOT NULL CHECK (kind IN ('chat', 'subscriber')),
    name       TEXT   NOT NULL,
    since      BIGINT NOT NULL,           -- when it was first seen in the catalog: nothing older is told
    held_until BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL DEFAULT 0, -- not before: it failed, or asked for patience
    failures   BIGINT NOT NULL DEFAULT 0, -- one after the other
    failing    BIGINT NOT NULL DEFAULT 0, -- since when; 0: it works
    error      TEXT   NOT NULL DEFAULT '',
    worked_at  BIGINT NOT NULL DEFAULT 0, -- when it last took something
    PRIMARY KEY (kind, name)
);

-- What was said of a rollout in a chat: written down before it is sent.
CREATE TABLE message (
    chat       TEXT   NOT NULL,
    rollout    TEXT   NOT NULL,
    part       TEXT   NOT NULL,           -- "rollout", "tier 0", "needs 1", "end"
    state      TEXT   NOT NULL CHECK (state IN ('open', 'sent', 'lost')),
    about      TEXT   NOT NULL DEFAULT '', -- what it is about, as JSON
    remote     TEXT   NOT NULL DEFAULT '', -- what the chat calls it
    hash       TEXT   NOT NULL DEFAULT '', -- of what it says there
    tries      BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    sent_at    BIGINT NOT NULL DEFAULT 0, -- or edited
    PRIMARY KEY (chat, rollout, part)
);
CREATE INDEX message_rollout ON message(rollout);

-- Rows of the audit log that were not yet handed to subscribers. Written with them, in one transaction.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY
);

-- An event on its way to one subscriber.
CREATE TABLE outgoing (
    subscriber TEXT   NOT NULL,
    event      TEXT   NOT NULL,           -- the id of its row in the audit log
    type       TEXT   NOT NULL,
    subject    TEXT   NOT NULL DEFAULT '',
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'delivered', 'parked')),
    tries      BIGINT NOT NULL DEFAULT 0,
    queued_at  BIGINT NOT NULL,
    next_at    BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subscriber, event)
);
CREATE INDEX outgoing_event ON outgoing(event);
CREATE INDEX outgoing_live ON outgoing(subscriber, next_at) WHERE state = 'pending';
CREATE INDEX outgoing_parked ON outgoing(subscriber) WHERE state = 'parked';
CREATE INDEX outgoing_ended ON outgoing(ended_at);

-- Each try of it.
CREATE TABLE outgoing_try (
    subscriber TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    try        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    status     BIGINT NOT NULL DEFAULT 0, -- of HTTP; 0: there was no answer
    took       BIGINT NOT NULL DEFAULT 0, -- milliseconds
    error      TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (subscriber, event, try)
);
