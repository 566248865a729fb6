FROM localhost:5000/base
COPY --from=127.0.0.1:5000/tools /a /a
