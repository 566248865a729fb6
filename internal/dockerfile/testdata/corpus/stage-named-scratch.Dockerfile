FROM debian:12 AS scratch
FROM scratch
COPY --from=busybox:1 /a /a
