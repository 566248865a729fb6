FROM registry.example.com/base/java:17 AS build
ONBUILD COPY --from=busybox:1 /a /a
ONBUILD RUN --mount=type=bind,from=tools:2,target=/t true
ONBUILD RUN --bogus true
ONBUILD COPY --from=build /b /b
ONBUILD RUN echo FROM nothing:1
