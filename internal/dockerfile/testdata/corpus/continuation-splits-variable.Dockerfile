ARG BASE=debian:12
FROM ${BA\
SE}
