FROM debian:12 AS parent
ONBUILD COPY --from=7 /a /a
FROM parent
