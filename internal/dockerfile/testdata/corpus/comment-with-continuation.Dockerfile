# FROM not:1 \
FROM debian:12
# \
COPY --from=busybox:1 /a /a
