FROM debian:12 AS parent
ONBUILD COPY --from=busybox:1 /a /a
FROM alpine:3 AS other
COPY --from=parent /x /x
