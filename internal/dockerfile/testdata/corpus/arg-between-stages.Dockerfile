ARG BASE=debian:12
FROM busybox:1 AS a
ARG OTHER=busybox:9
ARG BASE=busybox:8
FROM ${OTHER:-$BASE}
COPY --from=a / /
