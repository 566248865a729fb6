ARG TOOLS=busybox:1
FROM debian:12
COPY --from=${TOOLS} /a /a
