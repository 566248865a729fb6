FROM debian:12
COPY --chown=1:1 --from=busybox:1 --link /a /a
COPY --from="busybox:2" ["/a b", "/c"]
COPY --"from=busybox:3" /a /a
COPY --fr"om=busy"box:4 /a /a
copy --from=busybox:5 \
  /a \
  /b
COPY -- --from=x /y
COPY a --from=busybox:6 b/
