FROM golang:1.26 aS Build-1.x_y
FROM debian:12 As FINAL
COPY --from=build-1.X_Y /a /a
