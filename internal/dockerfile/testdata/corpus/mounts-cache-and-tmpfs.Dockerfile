FROM debian:12
RUN --mount=type=cache,from=busybox:1,source=/c,target=/c true
RUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/d true
