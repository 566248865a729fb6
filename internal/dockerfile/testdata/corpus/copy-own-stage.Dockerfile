FROM debian:12 AS a
COPY --from=a /a /b
