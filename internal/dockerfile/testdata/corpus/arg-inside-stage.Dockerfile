FROM debian:12 AS a
ARG BASE=busybox:1
FROM busybox:2
COPY --from=a / /
