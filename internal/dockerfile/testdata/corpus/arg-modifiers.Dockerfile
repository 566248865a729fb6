ARG V=3.12.1
FROM python:${V%.*} AS a
FROM python:${V#3.} AS b
FROM python:${V//./-}
COPY --from=a /a /a
COPY --from=b /b /b
