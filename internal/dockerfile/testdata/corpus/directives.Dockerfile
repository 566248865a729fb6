#   SYNTAX  =  docker.io/docker/dockerfile:1.7-labs  extra words 
# escape=\
# check=skip=all
FROM debian:12
