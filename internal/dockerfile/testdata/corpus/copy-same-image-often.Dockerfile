FROM registry.example.com/tools:1 AS a
FROM debian:12
COPY --from=registry.example.com/tools:1 /a /a
RUN --mount=from=registry.example.com/tools:1,target=/t true
COPY --from=a /b /b
