FROM golang:1.26
FROM node:22 AS ui
FROM debian:12
COPY --from=00 /a /a
COPY --from=+1 /b /b
