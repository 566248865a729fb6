ARG BASE=debian:12
FROM $BASE AS a
ARG BASE=busybox:9
RUN echo $BASE
FROM $BASE
ARG BASE=busybox:8
COPY --from=a / /
