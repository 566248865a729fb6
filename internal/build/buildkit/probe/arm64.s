// The probe's programs for linux/arm64; see amd64.s.

#include "textflag.h"

TEXT ·hold(SB), NOSPLIT|NOFRAME, $0
again:
	MOVD $0, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $73, R8 // ppoll of nothing, without end: there is no pause
	SVC
	B again
	RET

TEXT ·dial(SB), NOSPLIT|NOFRAME, $0
	MOVD $0x400078, R19
	SUB $4096, RSP
retry:
	MOVD $2, R0 // AF_INET
	MOVD $1, R1 // SOCK_STREAM
	MOVD $0, R2
	MOVD $198, R8 // socket
	SVC
	MOVD R0, R20
	MOVD R19, R1 // address
	MOVD $16, R2
	MOVD $203, R8 // connect
	SVC
	CBZ R0, connected
	MOVD R20, R0
	MOVD $57, R8 // close
	SVC
	ADD $16, R19, R0 // pause between attempts
	MOVD $0, R1
	MOVD $101, R8 // nanosleep
	SVC
	B retry
connected:
	MOVD R20, R0
	ADD $48, R19, R1 // message
	MOVD 32(R19), R2 // its length
	MOVD $64, R8 // write
	SVC
	MOVD 40(R19), R2 // listen?
	CBZ R2, done
copy:
	MOVD R20, R0
	MOVD RSP, R1
	MOVD $4096, R2
	MOVD $63, R8 // read
	SVC
	CMP $0, R0
	BLE done
	MOVD R0, R2
	MOVD RSP, R1
	MOVD $1, R0
	MOVD $64, R8 // write
	SVC
	B copy
done:
	MOVD $0, R0
	MOVD $94, R8 // exit_group
	SVC
	RET
