ARG BASE=scratch
FROM debian:12 AS build
FROM $BASE
COPY --from=build /app /app
