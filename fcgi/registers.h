/* What the processor's vector registers still hold. */
#ifndef BAGELHOOK_REGISTERS_H
#define BAGELHOOK_REGISTERS_H

/* Sets the vector registers of the calling thread to zero; rounding and the flags of floating point stay as
 * they are. To be called after a secret was copied or used: memcpy() moves bytes by way of these registers
 * and leaves them there, and the dynamic linker, which keeps them for the caller on the stack when a function
 * of a library is called for the first time, or a signal's frame, would write them to memory that nobody
 * wipes. From any thread; does not block. On processors other than x86-64, and by compilers that have no way
 * to say so, only what the compiler takes a function's caller to have lost is cleared, or nothing. */
void registers_clear(void);

#endif
