ARG REGISTRY=registry.example.com/
FROM ${REGISTRY}base/java:17
RUN true
