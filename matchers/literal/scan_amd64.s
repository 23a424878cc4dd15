#include "textflag.h"

// One byte of every window: AND into Y13 which groups it leaves. A byte from
// 0x80 on has none: VPSHUFB gives 0 for it.
#define NEXT_BYTE(offset, LO, HI) \
	VMOVDQU offset(SI)(AX*1), Y11 \
	VPSRLW  $4, Y11, Y12          \
	VPAND   Y8, Y12, Y12          \
	VPSHUFB Y11, LO, Y11          \
	VPSHUFB Y12, HI, Y12          \
	VPAND   Y11, Y13, Y13         \
	VPAND   Y12, Y13, Y13

// func findAVX2(dst *uint32, data *byte, from, to int, n *nibbles, known *[1 << 16]uint8) (count int, seen uint32)
TEXT ·findAVX2(SB), NOSPLIT, $0-60
	MOVQ dst+0(FP), DI
	MOVQ data+8(FP), SI
	MOVQ from+16(FP), AX
	MOVQ to+24(FP), CX
	MOVQ n+32(FP), BX
	MOVQ known+40(FP), R13

	// The tables of the low halves, of the high halves, and a mask for a half.
	VMOVDQU 0(BX), Y0
	VMOVDQU 32(BX), Y1
	VMOVDQU 64(BX), Y2
	VMOVDQU 96(BX), Y3
	VMOVDQU 128(BX), Y4
	VMOVDQU 160(BX), Y5
	VMOVDQU 192(BX), Y6
	VMOVDQU 224(BX), Y7
	MOVL    $0x0f0f0f0f, BX
	VMOVD   BX, X8
	VPBROADCASTD X8, Y8
	VPXOR   Y9, Y9, Y9
	VPXOR   Y10, Y10, Y10
	XORQ    DX, DX
	MOVL    $0x9e3779b1, R11
	JMP     test

loop:
	VMOVDQU (SI)(AX*1), Y11
	VPOR    Y11, Y10, Y10
	VPSRLW  $4, Y11, Y12
	VPAND   Y8, Y12, Y12
	VPSHUFB Y11, Y0, Y11
	VPSHUFB Y12, Y4, Y12
	VPAND   Y11, Y12, Y13
	NEXT_BYTE(1, Y1, Y5)
	NEXT_BYTE(2, Y2, Y6)
	NEXT_BYTE(3, Y3, Y7)
	VPCMPEQB  Y9, Y13, Y13
	VPMOVMSKB Y13, BX
	XORL    $-1, BX
	JNZ     found

next:
	ADDQ $32, AX

test:
	CMPQ AX, CX
	JLT  loop
	VPMOVMSKB Y10, BX
	VZEROUPPER
	MOVQ DX, count+48(FP)
	MOVL BX, seen+56(FP)
	RET

found:
	// Every place is written; it counts where its hash is known.
	BSFL  BX, R8
	LEAL  -1(BX), R9
	ADDQ  AX, R8
	ANDL  R9, BX
	MOVL  (SI)(R8*1), R10
	ORL   $0x20202020, R10
	IMULL R11, R10
	SHRL  $16, R10
	MOVBLZX (R13)(R10*1), R12
	MOVL  R8, (DI)(DX*4)
	ADDQ  R12, DX
	TESTL BX, BX
	JNZ   found
	JMP   next
