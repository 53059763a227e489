/* BagelPay's API key. */
#ifndef BAGELHOOK_VERIFY_KEY_H
#define BAGELHOOK_VERIFY_KEY_H

#include <stddef.h>

#define KEY_MAX_LEN 1024
#define KEY_ERROR_SIZE 512

struct key {
	char text[KEY_MAX_LEN + 1];
};

/* Reads the first line of a file that is neither empty nor a comment, without the white space around it.
 * Returns 0, or -1 with the reason and a remedy, one line that quotes nothing of the file, in error. Blocks.
 */
int key_read(const char *path, struct key *, char error[KEY_ERROR_SIZE]);

/* Overwrites the key. */
void key_wipe(struct key *);

#endif
