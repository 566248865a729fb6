FROM debian:12 AS a
FROM busybox:1 AS b
FROM a
