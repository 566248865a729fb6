FROM debian:12 AS from
FROM from AS as
FROM as
