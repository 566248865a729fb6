FROM registry.example.com/base:1-$TARGETARCH
