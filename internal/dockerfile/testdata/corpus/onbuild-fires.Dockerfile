FROM debian:12 AS parent
ONBUILD COPY --from=busybox:1 /a /a
ONBUILD RUN --mount=type=bind,from=tools:2,target=/t true
FROM parent AS child
FROM child
