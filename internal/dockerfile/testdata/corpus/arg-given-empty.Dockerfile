ARG BASE=debian:12
ARG REG=registry.example.com/
FROM ${BASE:-busybox:1} AS a
FROM ${REG}base/java:17
COPY --from=a / /
