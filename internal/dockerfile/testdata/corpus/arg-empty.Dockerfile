ARG SUFFIX=
ARG REG=""
FROM debian:12${SUFFIX} AS a
FROM ${REG:-registry.example.com}/base/java:17
COPY --from=a / /
