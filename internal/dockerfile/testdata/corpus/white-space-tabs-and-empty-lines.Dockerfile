

	
  FROM	debian:12	 


		COPY		--from=busybox:1	/a	/a	

   
FROM   busybox:2   AS   b   

