# escape=`
ARG BASE=registry.example.com/base/`
java:17
FROM $BASE AS a
RUN echo a\
FROM busybox:1
COPY `
# FROM not:1
  --from=a `

  /a /a
RUN echo `$HOME ``
COPY --from=busybox:2 /b /b
