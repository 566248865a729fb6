ARG KIND=slim
FROM debian:12 AS base-slim
FROM busybox:1 AS base-full
FROM base-$KIND
COPY --from=1 / /
