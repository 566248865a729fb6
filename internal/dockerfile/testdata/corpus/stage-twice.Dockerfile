FROM debian:11 AS a
FROM a AS b
FROM debian:12 AS a
FROM b
COPY --from=a /x /x
