FROM debian:12
RUN <<EOF
FROM not:1
EOF
COPY --from=busybox:1 / /
