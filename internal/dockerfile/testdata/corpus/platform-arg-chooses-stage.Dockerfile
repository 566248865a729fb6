FROM registry.example.com/base/x86:1 AS base-amd64
FROM registry.example.com/base/arm:1 AS base-arm64
FROM base-${TARGETARCH}${TARGETVARIANT}
RUN true
