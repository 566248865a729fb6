FROM debian:12 AS base
FROM busybox:1
RUN --mount=target=/a,from=registry.example.com/a:1,type=bind --network=none --mount=from=base,target=/b --mount=ro,type=bind,source=/x,from=registry.example.com:5000/c,target=/c true
RUN --mount=type=bind,from=registry.example.com/d@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,target=/d --mount=type=secret,id=s --mount=type=ssh true
