ARG P=linux/amd64
FROM --platform="$P" debian:12 AS a
FROM "--platform=$P" AS b
