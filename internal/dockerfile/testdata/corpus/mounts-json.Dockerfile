FROM debian:12
RUN --mount=from=busybox:1,target=/b ["/b/bin/sh", "-c", "echo --mount=from=not:1"]
