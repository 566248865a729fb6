# escape=`
ARG DIR=C:\x
FROM registry.example.com/windows/servercore:ltsc2022 `
  AS base
COPY --from=busybox:1 `
  C:\a C:\b\
RUN dir C:\ `
 # comment
  C:\x
