FROM golang:1.26 AS build
FROM registry.example.com/base/java:17 AS run
COPY --from=build /a /a
FROM run AS debug
COPY --from=busybox:1 /bin/sh /bin/sh
