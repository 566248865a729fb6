ARG BASE=registry.example.com/base/java:17
FROM ${BASE:?missing} AS a
FROM ${BASE?missing}
COPY --from=a / /
