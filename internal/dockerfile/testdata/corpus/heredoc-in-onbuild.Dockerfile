FROM debian:12
ONBUILD RUN --mount=from=tools:1,target=/t <<EOF
FROM not:1
EOF
ONBUILD COPY --from=busybox:1 /x /x
