FROM debian:12
RUN <<EOF
 EOF
EOF 
EOFF
FROM not:1
EOF
RUN <<-EOF
    EOF
FROM not:2
		EOF
FROM busybox:1
