ARG BASE
ARG TAG
FROM $BASE AS a
FROM registry.example.com/base/java:${TAG}
COPY --from=a / /
