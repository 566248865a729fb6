FROM --platform=linux/amd64 debian:12 AS a
FROM --platform=linux/arm64 debian:12 AS b
FROM --platform=linux/amd64 debian:12
COPY --from=a / /a
COPY --from=b / /b
