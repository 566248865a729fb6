FROM golang:1.26 AS tools
RUN --mount=from=deep:1,target=/d true
FROM node:22 AS unused
FROM debian:12 AS parent
ONBUILD RUN --mount=from=tools,target=/t true
ONBUILD COPY --from=0 /x /x
FROM parent
