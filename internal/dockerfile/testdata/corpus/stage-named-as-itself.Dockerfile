FROM debian AS debian
FROM debian AS debian
FROM debian
