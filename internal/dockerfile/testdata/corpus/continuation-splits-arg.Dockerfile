ARG BA\
SE=debian:12 TAG=1\
7
FROM $BASE AS a
FROM registry.example.com/java:$TAG
COPY --from=a / /
