FROM debian:12 AS debian
FROM debian AS alpine
FROM alpine
COPY --from=debian /a /a
COPY --from=debian:12 /b /b
