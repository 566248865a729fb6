# syntax=docker/dockerfile:1
ARG TAG=17
FROM registry.example.com/base/java:${TAG} \
  AS final
COPY --from=busybox:1 \
 # FROM x
 /a /a
