# syntax=docker/dockerfile:1.7
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache go build -o /app

FROM node:22 AS ui
RUN --mount=type=bind,from=build,source=/src,target=/src npm run build

FROM scratch AS unused
COPY --from=alpine:3.20 /etc/passwd /etc/passwd

FROM registry.example.com/base/debian:stable AS final
COPY --from=build /app /app
COPY --from=ui /dist /dist
COPY --from=ghcr.io/acme/tools:1 /bin/tool /bin/tool
