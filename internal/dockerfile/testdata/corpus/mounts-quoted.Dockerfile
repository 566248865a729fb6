FROM debian:12
RUN --mount="type=bind,from=busybox:1,target=/x" true
RUN --mount='from=busybox:2,target=/x' true
RUN --mount=type=bind,"from=busybox:3",target=/x true
RUN --mount=from="busybox:4",target=/x true
RUN "--mount=from=not:1,target=/x" true
