FROM --platform=$BUILDPLATFORM golang:1.26 AS build
RUN go build
FROM registry.example.com/base-${TARGETARCH}:1
COPY --from=build /app /app
