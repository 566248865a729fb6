from debian:12
onbuild copy --from=busybox:1 /a /a
OnBuild   \
  # a comment
  Run --mount=target=/x,from=busybox:2 \
  true
ONBUILD	COPY	--link	--from="busybox:3"	["/a", "/b"]
