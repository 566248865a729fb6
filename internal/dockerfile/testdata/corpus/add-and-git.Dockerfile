FROM debian:12
ADD https://example.com/from.tar /
ADD --keep-git-dir https://git.example.com/x.git#main /src
LABEL from=not:1 image="FROM not:2"
ENV FROM=not:3
HEALTHCHECK CMD FROM not:4
SHELL ["FROM", "not:5"]
