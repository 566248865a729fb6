ARG BASE=debian:12
FROM $BASE AS build
RUN make
FROM ${BASE}
COPY --from=build /app /app
