FR\
OM debian:12
CO\
PY --fr\
om=busybox:1 /a /a
