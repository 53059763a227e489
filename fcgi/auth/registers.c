/* Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 13: XRSTOR gives each
 * component that is asked for, and that the area's header has no bit for, its initial state, which is zero.
 * These are all that the processor has, also those that the compiler was not told of and cannot name. MXCSR
 * is the exception: it is loaded from the area. */
#include "config.h"

#include "registers.h"

#ifdef __has_attribute
#if __has_attribute(zero_call_used_regs)
#define ZERO_CALL_USED __attribute__((zero_call_used_regs("all")))
#endif
#endif
#ifndef ZERO_CALL_USED
#define ZERO_CALL_USED
#endif

#ifdef __x86_64__

#include <immintrin.h>
#include <stdint.h>

/* Components of XCR0: XMM, YMM's upper halves, opmask, ZMM 0 to 15's upper halves, ZMM 16 to 31. */
#define VECTORS 0xe6U

/* The standard form of an XSAVE area, up to the end of its header. */
struct area {
	uint32_t x87[6];
	uint32_t mxcsr;
	uint32_t mxcsr_mask;
	uint8_t registers[480];
	uint64_t header[8];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct area) == 576, "512 bytes and a header of 64");

ZERO_CALL_USED __attribute__((noinline, target("xsave"))) void registers_clear(void)
{
	struct area area = {.mxcsr = _mm_getcsr()};

	/* Where it is supported, the system keeps such registers, too, and there is an XCR0. */
	if (!__builtin_cpu_supports("avx"))
		return;
	_xrstor64(&area, _xgetbv(0) & VECTORS);
	/* Compilers do not see that of XRSTOR. */
	__asm__ volatile(""
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
			 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#else

ZERO_CALL_USED __attribute__((noinline)) void registers_clear(void)
{
}

#endif
