FROM debian:12
LABEL x=ÿþ
COPY --chown=ÿ --from=busybox:1 /ÿ /ÿ
