FROM debian:12
RUN <<A <<B sh -c 'cat /dev/fd/3' 3<&0
FROM not:1
A
FROM not:2
B
COPY --from=busybox:1 /x /x
COPY <<one.txt <<"two.txt" /dir/
COPY --from=not:3 / /
one.txt
FROM not:4
two.txt
ADD <<-EOF /z
	FROM not:5
	EOF
COPY --from=busybox:2 /y /y
