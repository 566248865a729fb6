FROM golang:1.26 AS build
FROM scratch
COPY --from=build /app /app
RUN --mount=from=scratch,target=/x true
