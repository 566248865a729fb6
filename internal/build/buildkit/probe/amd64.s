// The probe's programs for linux/amd64; amd64.txt holds what `go tool asm` makes of them; a test compares.
// No stack frame, no Go: they start at their first instruction, and their data is at 0x400078 (see program).

#include "textflag.h"

// hold stays until it is killed.
TEXT ·hold(SB), NOSPLIT|NOFRAME, $0
again:
	MOVL $34, AX // pause
	SYSCALL
	JMP  again
	RET

// dial connects to the address, again and again until that succeeds, sends the message, copies what is answered to
// standard output if it is to listen, and exits with 0.
TEXT ·dial(SB), NOSPLIT|NOFRAME, $0
	MOVL $0x400078, R12
	SUBQ $4096, SP
retry:
	MOVL $2, DI // AF_INET
	MOVL $1, SI // SOCK_STREAM
	XORL DX, DX
	MOVL $41, AX // socket
	SYSCALL
	MOVL AX, BX
	MOVL BX, DI
	MOVQ R12, SI // address
	MOVL $16, DX
	MOVL $42, AX // connect
	SYSCALL
	TESTL AX, AX
	JEQ  connected
	MOVL BX, DI
	MOVL $3, AX // close
	SYSCALL
	LEAQ 16(R12), DI // pause between attempts
	XORL SI, SI
	MOVL $35, AX // nanosleep
	SYSCALL
	JMP  retry
connected:
	MOVL BX, DI
	LEAQ 48(R12), SI // message
	MOVQ 32(R12), DX // its length
	MOVL $1, AX // write
	SYSCALL
	CMPQ 40(R12), $0 // listen?
	JEQ  done
copy:
	MOVL BX, DI
	MOVQ SP, SI
	MOVL $4096, DX
	XORL AX, AX // read
	SYSCALL
	TESTQ AX, AX
	JLE  done
	MOVL AX, DX
	MOVL $1, DI
	MOVL $1, AX // write
	SYSCALL
	JMP  copy
done:
	XORL DI, DI
	MOVL $231, AX // exit_group
	SYSCALL
	RET
