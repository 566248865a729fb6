# FROM comment:1

   # FROM comment:2
FROM debian:12 
#FROM comment:3
RUN echo hi # FROM comment:4
