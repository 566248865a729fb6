FROM debian:12 AS first
COPY --from=second /s /s
FROM busybox:1 AS second
FROM first
