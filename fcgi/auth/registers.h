/* What the processor's registers still hold. */
#ifndef BAGELHOOK_REGISTERS_H
#define BAGELHOOK_REGISTERS_H

/* Sets to zero what registers of the calling thread a function need not keep, the vector registers above all;
 * rounding and the flags of floating point stay as they are. To be called after a secret was copied or used:
 * memcpy() moves bytes by way of vector registers and leaves them there, and a signal's frame, or the dynamic
 * linker, which keeps them for the caller on the stack when a library calls a function for the first time,
 * would write them to memory that nobody wipes. For what runs between the use and this call, programs and
 * libraries have to be bound when they start (-z now), as ours are and Debian's libcrypto is.
 *
 * From any thread; does not block. On processors other than x86-64 with AVX, only by compilers that know the
 * attribute zero_call_used_regs (GCC 11, clang 15); by others it does nothing there. */
void registers_clear(void);

#endif
