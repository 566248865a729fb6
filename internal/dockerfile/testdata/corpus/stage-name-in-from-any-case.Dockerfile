FROM debian:12 AS Base
FROM Base
