FROM \
# one

   # two
	debian:12 \
# three
	AS \

	x

RUN a && \
    # COPY --from=not:1 / /
    b && \
    FROM not:2
