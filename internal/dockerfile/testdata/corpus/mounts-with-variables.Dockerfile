FROM debian:12
ARG WHERE=/x
ARG ID=cache
RUN --mount=type=cache,id=$ID,from=busybox:1,target=${WHERE} true
RUN --mount=from=busybox:2,target=$WHERE,source=${WHERE} true
