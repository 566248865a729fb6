FROM debian:${TAG:-12} AS a
FROM busybox$SUFFIX
COPY --from=a / /
