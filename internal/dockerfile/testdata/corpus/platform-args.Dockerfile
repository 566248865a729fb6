FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build
FROM --platform=${TARGETPLATFORM} registry.example.com/base/debian:stable
COPY --from=build /app /app
