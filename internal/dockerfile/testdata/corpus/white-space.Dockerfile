  	 FROM		--platform=linux/amd64   debian:12	 AS	build  


 from  busybox:1  
	copy	--from=build	/a	/a
