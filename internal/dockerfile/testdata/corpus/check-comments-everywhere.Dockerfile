# check=skip=all
ARG BASE=debian:12
# check=skip=JSONArgsRecommended
FROM $BASE AS a
# check=experimental=all
COPY --from=busybox:1 /a /a
RUN true \
  # check=skip=all
  && true
# check=error=true
ONBUILD COPY --from=busybox:2 /b /b
