FROM debian:12
RUN --mount=from=busybox:1,target=/b \
    --mount=type=bind,target=/t,from=busybox:2 <<EOF
#!/bin/sh
RUN --mount=from=not:1,target=/b true
EOF
RUN --network=none --mount=from=busybox:3,target=/x <<EOF bash -e
\
COPY --from=not:2 / /
EOF
