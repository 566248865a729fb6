FROM debian:12 AS a
COPY <<Dockerfile /Dockerfile
# syntax=docker/dockerfile:1
ARG BASE=not:1
FROM $BASE AS b
COPY --from=a / /
Dockerfile
FROM busybox:1
COPY --from=a /Dockerfile /
