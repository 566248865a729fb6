ARG SLIM=1
ARG NONE
FROM debian:12${SLIM:+-slim} AS a
FROM ${SLIM+registry.example.com/base/java:17} AS b
FROM debian:12${NONE:+-slim} AS c
FROM busybox:1
COPY --from=a / /a
COPY --from=b / /b
COPY --from=c / /c
