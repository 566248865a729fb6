# syntax=registry.example.com:5000/frontend:1.7@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
# escape=`
FROM debian:12
COPY --from=busybox:1 `
  /a /a
