ARG BASE=debian:12
ARG REG=registry.example.com
FROM $BASE AS a
FROM $REG/base/java:17
COPY --from=a / /a
