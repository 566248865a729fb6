ARG TAG=11
ARG OLD=debian:$TAG
ARG TAG=12
FROM $OLD AS a
FROM debian:$TAG
COPY --from=a / /
