FROM debian:12
RUN cat <<'EOF' > /Dockerfile
FROM $NOT
EOF
RUN cat <<"E F"
FROM not:1
E F
COPY --from=busybox:1 / /
