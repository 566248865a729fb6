FROM debian:12 \  
  AS a
COPY \	
 --from=busybox:1 /a /a
