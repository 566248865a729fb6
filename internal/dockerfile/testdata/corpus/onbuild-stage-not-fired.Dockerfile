FROM golang:1.26 AS tools
FROM debian:12
ONBUILD COPY --from=tools /a /a
ONBUILD RUN --mount=from=tools,target=/t true
