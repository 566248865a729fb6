FROM debian:12
RUN cat <<<EOF
COPY --from=busybox:1 /a /a
RUN echo "<<EOF"
COPY --from=busybox:2 /a /a
RUN echo $((1<<2))
COPY --from=busybox:3 /a /a
CMD echo <<EOF
COPY --from=busybox:4 /a /a
