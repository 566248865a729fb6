FROM golang:1 AS build
FROM golang:2 AS build
FROM debian:12
COPY --from=build /a /a
COPY --from=0 /b /b
