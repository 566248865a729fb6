FROM golang:1.26 AS build
FROM registry.example.com/base/java:17 AS run
RUN --mount=from=build,target=/b true
FROM run AS test
RUN --mount=from=test-tools:1,target=/t true
COPY --from=later:1 / /
