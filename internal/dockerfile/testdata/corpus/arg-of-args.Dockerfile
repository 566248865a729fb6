ARG REG=registry.example.com
ARG IMAGE=${REG}/base/java
ARG BASE=${IMAGE}:17
FROM ${BASE}
