FROM debian:12
RUN <<EOF
FROM not-an-image:1
COPY --from=not-an-image:2 / /
EOF
RUN --mount=from=busybox:1,target=/b <<-"ONE" cat <<TWO
	FROM not-an-image:3
	ONE
FROM not-an-image:4
TWO
COPY --from=busybox:2 /etc/y /etc/x
COPY <<FILE /etc/Dockerfile
FROM not-an-image:6
FILE
FROM busybox:3
