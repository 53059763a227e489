/* Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 13: XRSTOR gives each
 * component that is asked for and that the header has no bit for its initial state, which is zero, whatever
 * the processor's registers are like and however many of them this was compiled for. The one exception is
 * MXCSR. */
#include "config.h"

#include "registers.h"

#ifdef __has_attribute
#if __has_attribute(zero_call_used_regs)
#define CLEARS_REGISTERS __attribute__((noinline, zero_call_used_regs("all")))
#endif
#endif
#ifndef CLEARS_REGISTERS
#define CLEARS_REGISTERS
#endif

#ifdef __x86_64__

#include <immintrin.h>
#include <stdint.h>

/* Of the components of XCR0: XMM, the upper halves of YMM, opmask, ZMM 0 to 15's upper halves, ZMM 16 to 31.
 */
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

__attribute__((noinline, target("xsave"))) static void initialise(void)
{
	struct area area = {.mxcsr = _mm_getcsr()};

	_xrstor64(&area, _xgetbv(0) & VECTORS);
}

CLEARS_REGISTERS void registers_clear(void)
{
	/* That it is supported says that the system keeps such registers, too. */
	if (__builtin_cpu_supports("avx"))
		initialise();
}

#else

CLEARS_REGISTERS void registers_clear(void)
{
}

#endif
