ARG EMPTY
FROM ${BASE:-registry.example.com/base/java:17} AS a
FROM ${EMPTY-busybox:1}
COPY --from=a /x /x
