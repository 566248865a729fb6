FROM localhost:5000/base:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS base
COPY --from=registry.example.com:443/tools@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef /a /a
COPY --from=docker.io/library/busybox /b /b
FROM base
