# Größe
ARG GRUSS="grüße" BASE=debian:12
FROM $BASE AS a
RUN echo "ü" \
  ä
COPY --chown=1 --from=busybox:1 /ä /ö
