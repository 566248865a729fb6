ARG \
  # a comment: BASE=not:1
  A=1 \

  BASE=registry.example.com/base/java:17
FROM \
  --platform=linux/amd64 \
# FROM not:2

  $BASE \
  AS \
  final
COPY \
  --from=busybox:1 \
  /a /a
