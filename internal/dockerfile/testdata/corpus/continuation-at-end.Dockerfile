FROM debian:12
COPY --from=busybox:1 /a \
  /b \
