FROM golang:1.26 AS Tools
FROM debian:12
RUN --mount=from=TOOLS,target=/t true
RUN --mount=FROM=tools,target=/t true
RUN --mount=from=1,target=/t true
