ARG VERSION=17
FROM registry.example.com/java:${VERSION}
ARG VERSION
RUN echo $VERSION
