FROM $NOTHING/x AS unused
FROM debian:12
