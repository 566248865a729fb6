ARG REG=registry.example.com
FROM ${BASE:-${REG}/base/java:17} AS a
FROM ${BASE:-${OTHER:-busybox:1}} AS b
FROM ${BASE-$REG/base/python:3.12}
COPY --from=a / /
COPY --from=b / /
