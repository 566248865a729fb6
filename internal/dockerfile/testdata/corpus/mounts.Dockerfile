FROM debian:12
RUN --mount=type=bind,from=registry.example.com/repo-state:1,target=/state \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=target=/t,FROM=busybox:1 \
    --network=none \
    apt-get update
RUN --mount=type=tmpfs,target=/tmp true --mount=from=no:1
RUN --mount=from=busybox:1,from=busybox:2,target=/x true
RUN --mount='"type=bind","from=busybox:3",target=/x' true
RUN --mount=from=0,target=/x true
