arg base=debian:12
from ${base} as Build
run true
from busybox:1 as final
copy --from=BUILD /a /a
