FROM debian:12 AS a
ARG X=\$BASE
RUN echo \$BASE '$BASE'
FROM busybox:1
COPY --from=a /\$x /$x
