FROM golang:1.26
FROM node:22
FROM debian:12
COPY --from=0 /a /a
COPY --from=1 /b /b
