FROM registry.example.com/base:$TARGETSTAGE AS prod
