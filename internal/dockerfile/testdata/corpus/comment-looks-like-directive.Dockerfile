# Syntax: docker/dockerfile:1
#syntax docker/dockerfile:1
# FROM not:1
FROM debian:12
# syntax=docker/dockerfile:1
# escape=`
COPY --from=busybox:1 \
  /a /a
