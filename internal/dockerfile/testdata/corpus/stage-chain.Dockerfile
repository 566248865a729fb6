FROM registry.example.com/base/java:17 AS base
RUN true
FROM base AS deps
RUN true
FROM deps AS Final
COPY --from=0 /x /x
COPY --from=BASE /y /y
