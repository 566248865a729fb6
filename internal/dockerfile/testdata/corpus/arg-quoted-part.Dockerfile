ARG TAG=17
FROM registry.example.com/"base"/java:17 AS a
FROM "registry.example.com/base/java:${TAG}" AS b
FROM 'busybox:1'
COPY --from=a / /
COPY --from=b / /
