ARG BASE=registry.example.com/base/java:17
FROM $BASE
COPY app /app
