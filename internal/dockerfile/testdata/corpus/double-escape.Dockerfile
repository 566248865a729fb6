FROM debian:12
RUN echo a\\
COPY --from=busybox:1 /a /a
