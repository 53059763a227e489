/* What libFuzzer's main() is to a fuzz target, without a fuzzer: hands it each file of the given
 * files and directories, so that every compiler can replay a corpus. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "target.h"

#define PATH_SIZE 4096

static unsigned long replayed;

static bool replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	size_t len = 0;
	size_t size = 0;

	if (file == NULL)
		return false;
	do {
		if (len == size) {
			size = size == 0 ? 4096 : size * 2;
			bytes = realloc(bytes, size);
			if (bytes == NULL)
				abort();
		}
		len += fread(bytes + len, 1, size - len, file);
	} while (!feof(file) && !ferror(file));
	bool good = !ferror(file);
	fclose(file);
	/* Of exactly its length, so that a sanitizer sees what reads beyond it. */
	uint8_t *exact = malloc(len > 0 ? len : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, bytes, len);
	free(bytes);
	if (good) {
		/* The last thing that is seen of one that crashes. */
		fprintf(stderr, "%s\n", path);
		LLVMFuzzerTestOneInput(exact, len);
		replayed++;
	}
	free(exact);
	return good;
}

static bool replay(const char *path)
{
	struct stat status;
	struct dirent *entry;
	bool good = true;

	if (stat(path, &status) != 0)
		return false;
	if (!S_ISDIR(status.st_mode))
		return replay_file(path);
	DIR *directory = opendir(path);
	if (directory == NULL)
		return false;
	while ((entry = readdir(directory)) != NULL) {
		char inner[PATH_SIZE];
		int len = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);

		if (entry->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof inner)
			continue;
		good = replay(inner) && good;
	}
	closedir(directory);
	return good;
}

int main(int argc, char *argv[])
{
	const char *source = getenv("BAGELHOOK_SOURCE");
	bool good = true;

	if (LLVMFuzzerInitialize(&argc, &argv) != 0)
		return EXIT_FAILURE;
	for (int i = 1; i < argc; i++)
		good = replay(argv[i]) && good;
	if (argc == 1) {
		char path[PATH_SIZE];

		snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", source == NULL ? "." : source,
			fuzz_target_name);
		good = replay(path);
		if (!good)
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
	}
	printf("%s: %lu inputs replayed\n", fuzz_target_name, replayed);
	return good && replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
