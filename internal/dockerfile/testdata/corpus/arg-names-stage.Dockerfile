ARG BASE=build
FROM debian:12 AS build
FROM ${BASE} AS next
FROM next
