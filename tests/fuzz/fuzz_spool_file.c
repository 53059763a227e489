/* Files of a spool that somebody, or a disk, has changed. */
#include "config.h"

#include <string.h>

#include "common/digest.h"
#include "fcgi/spool/spool_file.h"
#include "target.h"

const char fuzz_target_name[] = "spool_file";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

#define CHANGED_US INT64_C(1757842163000000)

/* A file is written again as the same file: it has one reading. One of format 1 has no
 * `received`, and is written as one of format 2. */
static void check_round_trip(const struct delivery *delivery, const uint8_t *data, size_t size)
{
	const char *first_line = "bagelhook-spool 1\n";
	struct buffer file;

	if (memcmp(data, first_line, strlen(first_line)) == 0) {
		MUST(delivery->received_us == CHANGED_US);
		return;
	}
	buffer_init(&file);
	MUST(spool_file_head(delivery, &file));
	MUST(file.len <= SPOOL_FILE_HEAD_MAX);
	buffer_put(&file, delivery->body, delivery->body_len);
	MUST(file.len == size && memcmp(file.data, data, size) == 0);
	buffer_done(&file);
}

static void parse(const uint8_t *data, size_t size)
{
	char reason[SPOOL_FILE_REASON_SIZE] = "";
	struct delivery *delivery = NULL;

	enum spool_file_result result = spool_file_parse(data, size, CHANGED_US, &delivery, reason);
	switch (result) {
	case SPOOL_FILE_OK:
		check_round_trip(delivery, data, size);
		delivery_free(delivery);
		break;
	case SPOOL_FILE_CORRUPT:
		MUST(reason[0] != '\0');
		break;
	case SPOOL_FILE_NO_MEMORY:
		MUST(result != SPOOL_FILE_NO_MEMORY);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char digest[DIGEST_LEN + 1];
	struct buffer file;

	parse(data, size);
	/* Nobody guesses a checksum: the same with the right one in front, in each format. */
	buffer_init(&file);
	MUST(digest_hex(data, size, "", 0, digest));
	for (int format = 1; format <= 2; format++) {
		buffer_clear(&file);
		buffer_printf(&file, "bagelhook-spool %d\nsha256 %s\n", format, digest);
		buffer_put(&file, data, size);
		MUST(!buffer_failed(&file));
		parse((const uint8_t *)file.data, file.len);
	}
	buffer_done(&file);
	return 0;
}
