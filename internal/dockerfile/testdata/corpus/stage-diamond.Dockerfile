FROM registry.example.com/base:1 AS base
FROM base AS left
COPY --from=l:1 / /l
FROM base AS right
COPY --from=r:1 / /r
FROM base
COPY --from=left / /
COPY --from=right / /
FROM base AS unused
COPY --from=u:1 / /
FROM left
COPY --from=3 / /
