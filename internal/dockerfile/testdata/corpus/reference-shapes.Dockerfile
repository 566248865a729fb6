FROM debian AS a
FROM library/debian AS b
FROM docker.io/debian AS c
FROM localhost/debian AS d
FROM registry.example.com:5000/a/b/c/d__e-f.g:V1.2_3-x AS e
FROM [::1]:5000/base:1 AS f
FROM debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
COPY --from=a / /
COPY --from=b / /
COPY --from=c / /
COPY --from=d / /
COPY --from=e / /
COPY --from=f / /
