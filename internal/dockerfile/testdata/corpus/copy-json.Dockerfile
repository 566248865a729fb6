FROM debian:12
COPY --from=busybox:1 ["/a", "/b c"]
COPY --chmod=0755 --link --from=registry.example.com/tools:1 [ "/a", "/b" ]
ADD ["FROM", "not:1"]
ENTRYPOINT ["--from=not:2"]
