ARG REG=registry.example.com
ARG TAG=17
FROM ${REG}/base/java:${TAG}
