FROM debian:12
# escape=`
RUN echo a \
  b
COPY --from=busybox:1 /a /a
