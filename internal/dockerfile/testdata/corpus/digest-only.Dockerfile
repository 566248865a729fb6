FROM registry.example.com:5000/base/java@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS run
CMD ["java"]
