ARG A=1 REG=registry.example.com   TAG="17" \
    NAME='base/java' B
FROM $REG/$NAME:$TAG
