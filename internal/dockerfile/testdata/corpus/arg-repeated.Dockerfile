ARG B=debian
FROM ${B}${B}:${B}
