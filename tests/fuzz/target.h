/* What a fuzz target consists of; the names are libFuzzer's. */
#ifndef BAGELHOOK_FUZZ_TARGET_H
#define BAGELHOOK_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The name of the target, and of the directory of its corpus. */
extern const char fuzz_target_name[];

/* Called once before the first input. Returns 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Tries one input, and aborts where what must hold does not. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold of every input. */
#define MUST(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);           \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#endif
