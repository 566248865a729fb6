FROM registry.example.com/base:dev AS base-dev
FROM registry.example.com/base:prod AS base-prod
FROM base-${TARGETSTAGE} AS dev
FROM base-${TARGETSTAGE:-prod} AS prod
