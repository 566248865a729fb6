FROM debian:12 AS first
RUN --mount=from=second,target=/s true
FROM busybox:1 AS second
FROM first
