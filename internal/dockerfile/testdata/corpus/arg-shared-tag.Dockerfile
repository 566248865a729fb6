ARG TAG=12
FROM debian:${TAG} AS build
FROM registry.example.com/slim:$TAG
COPY --from=build /app /app
