ARG BASE="registry.example.com/base/java:17" OTHER='busybox:1'
FROM "${BASE}" AS a
FROM "busybox:2" AS b
FROM $OTHER
COPY --from=a / /
