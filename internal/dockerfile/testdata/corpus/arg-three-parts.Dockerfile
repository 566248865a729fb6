ARG REG=registry.example.com:5000
ARG NAME=base/java
ARG TAG=17
FROM ${REG}/${NAME}:${TAG} AS a
FROM $REG/$NAME:$TAG
COPY --from=a / /
