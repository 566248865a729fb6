# escape=`
FROM debian:12
ONBUILD COPY `
  --from=busybox:1 /a /a
