#include "textflag.h"

// The functions below look at the places from AX to CX of the data at SI, write
// those that pass to DI, DX of them so far, and OR what they see into Y10 or Z10.
// R13 is the table of known hashes.
#define ARGUMENTS \
	MOVQ dst+0(FP), DI    \
	MOVQ data+8(FP), SI   \
	MOVQ from+16(FP), AX  \
	MOVQ to+24(FP), CX    \
	XORQ DX, DX           \
	MOVL $0x9e3779b1, R11

// The places of the bits in BX, at least one. Every place is written; it counts
// where its hash is known.
#define FOUND \
found:                        \
	BSFQ  BX, R8              \
	LEAQ  -1(BX), R9          \
	ADDQ  AX, R8              \
	ANDQ  R9, BX              \
	MOVL  (SI)(R8*1), R10     \
	ORL   $0x20202020, R10    \
	IMULL R11, R10            \
	SHRL  $16, R10            \
	MOVBLZX (R13)(R10*1), R12 \
	MOVL  R8, (DI)(DX*4)      \
	ADDQ  R12, DX             \
	TESTQ BX, BX              \
	JNZ   found               \
	JMP   next

// The tables of the low halves, of the high halves, and a mask for a half.
#define NIBBLE_TABLES \
	MOVQ    lo+32(FP), BX  \
	VMOVDQU 0(BX), Y0      \
	VMOVDQU 32(BX), Y1     \
	VMOVDQU 64(BX), Y2     \
	VMOVDQU 96(BX), Y3     \
	MOVQ    hi+40(FP), BX  \
	VMOVDQU 0(BX), Y4      \
	VMOVDQU 32(BX), Y5     \
	VMOVDQU 64(BX), Y6     \
	VMOVDQU 96(BX), Y7     \
	MOVQ    known+48(FP), R13 \
	MOVL    $0x0f0f0f0f, BX   \
	VMOVD   BX, X8            \
	VPBROADCASTD X8, Y8       \
	VPXOR   Y9, Y9, Y9        \
	VPXOR   Y10, Y10, Y10

// The groups that the bytes in Y11 leave, in Y11. A byte from 0x80 on leaves
// none: VPSHUFB gives 0 for it.
#define NIBBLES(LO, HI) \
	VPSRLW  $4, Y11, Y12   \
	VPAND   Y8, Y12, Y12   \
	VPSHUFB Y11, LO, Y11   \
	VPSHUFB Y12, HI, Y12   \
	VPAND   Y11, Y12, Y11

// The groups that the windows at AX leave, in Y13; LOAD is how a vector is read.
#define WINDOWS(LOAD) \
	LOAD    (SI)(AX*1), Y11  \
	VPOR    Y11, Y10, Y10    \
	NIBBLES(Y0, Y4)          \
	VMOVDQA Y11, Y13         \
	LOAD    1(SI)(AX*1), Y11 \
	NIBBLES(Y1, Y5)          \
	VPAND   Y11, Y13, Y13    \
	LOAD    2(SI)(AX*1), Y11 \
	NIBBLES(Y2, Y6)          \
	VPAND   Y11, Y13, Y13    \
	LOAD    3(SI)(AX*1), Y11 \
	NIBBLES(Y3, Y7)          \
	VPAND   Y11, Y13, Y13

// On to the next places, so many further, or the end.
#define NEXT_NIBBLES(PLACES) \
next:                         \
	ADDQ $PLACES, AX          \
test:                         \
	CMPQ AX, CX               \
	JLT  loop                 \
	VPMOVMSKB Y10, BX         \
	VZEROUPPER                \
	MOVQ DX, count+56(FP)     \
	MOVQ BX, seen+64(FP)      \
	RET

// func findNibbles8(dst *uint32, data *byte, from, to int, lo, hi *[window][2][16]uint8, known *[1 << 16]uint8) (count int, seen uint64)
TEXT ·findNibbles8(SB), NOSPLIT, $0-72
	ARGUMENTS
	NIBBLE_TABLES
	JMP test

loop:
	WINDOWS(VMOVDQU)
	VPCMPEQB  Y9, Y13, Y13
	VPMOVMSKB Y13, BX
	XORL $-1, BX
	JNZ  found

	NEXT_NIBBLES(32)

	FOUND

// func findNibbles16(dst *uint32, data *byte, from, to int, lo, hi *[window][2][16]uint8, known *[1 << 16]uint8) (count int, seen uint64)
TEXT ·findNibbles16(SB), NOSPLIT, $0-72
	ARGUMENTS
	NIBBLE_TABLES
	JMP test

loop:
	WINDOWS(VBROADCASTI128)
	VEXTRACTI128 $1, Y13, X12
	VPOR      X12, X13, X13
	VPCMPEQB  X9, X13, X13
	VPMOVMSKB X13, BX
	XORL $0xffff, BX
	JNZ  found

	NEXT_NIBBLES(16)

	FOUND

// func findBytes8(dst *uint32, data *byte, from, to int, bytes *[window][128]uint8, known *[1 << 16]uint8) (count int, seen uint64)
TEXT ·findBytes8(SB), NOSPLIT, $0-64
	ARGUMENTS
	MOVQ bytes+32(FP), BX
	VMOVDQU64 0(BX), Z0
	VMOVDQU64 64(BX), Z1
	VMOVDQU64 128(BX), Z2
	VMOVDQU64 192(BX), Z3
	VMOVDQU64 256(BX), Z4
	VMOVDQU64 320(BX), Z5
	VMOVDQU64 384(BX), Z6
	VMOVDQU64 448(BX), Z7
	MOVQ known+40(FP), R13
	VPXORQ Z10, Z10, Z10
	JMP  test

loop:
	// A byte's low seven bits choose from the 128 entries of two registers.
	VMOVDQU64 (SI)(AX*1), Z11
	VMOVDQU64 1(SI)(AX*1), Z12
	VMOVDQU64 2(SI)(AX*1), Z13
	VMOVDQU64 3(SI)(AX*1), Z14
	VPORQ    Z11, Z10, Z10
	VPERMI2B Z1, Z0, Z11
	VPERMI2B Z3, Z2, Z12
	VPERMI2B Z5, Z4, Z13
	VPERMI2B Z7, Z6, Z14
	VPANDQ   Z11, Z12, Z12
	VPANDQ   Z13, Z14, Z14
	VPTESTMB Z12, Z14, K1
	KMOVQ    K1, BX
	TESTQ    BX, BX
	JNZ      found

next:
	ADDQ $64, AX

test:
	CMPQ AX, CX
	JLT  loop
	VPMOVB2M Z10, K1
	KMOVQ K1, BX
	VZEROUPPER
	MOVQ DX, count+48(FP)
	MOVQ BX, seen+56(FP)
	RET

	FOUND
