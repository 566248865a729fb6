FROM golang:1.26 AS tools
FROM debian:12 AS parent
ONBUILD COPY --from=tools /a /a
FROM parent
