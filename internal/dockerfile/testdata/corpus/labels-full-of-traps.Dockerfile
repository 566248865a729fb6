FROM debian:12
LABEL a="FROM not:1" \
      b='COPY --from=not:2 / /' \
      c="# syntax=not:3"
ENV COPY="--from=not:4" FROM=not:5
RUN echo FROM not:6 && echo COPY --from=not:7
CMD ["FROM", "not:8"]
WORKDIR /FROM
USER from
EXPOSE 80
VOLUME /copy
STOPSIGNAL SIGTERM
MAINTAINER FROM not:9
