ARG FLAVOUR=slim
FROM python:3.12-${FLAVOUR}-bookworm
RUN true
