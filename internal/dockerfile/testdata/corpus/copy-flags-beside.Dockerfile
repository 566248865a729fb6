FROM debian:12
COPY --link --chmod=0755 --chown=0:0 --from=busybox:1 /a /a
COPY --from=busybox:2 --link=false --chmod=u+x /a /a
COPY    --chown=1   --from=busybox:3   --link   /a   /a
COPY --parents --exclude=*.txt --from=busybox:4 /a/./b /a
