FROM registry.example.com/base/\
java:17
COPY --from=busy\
box:1 /a /a
