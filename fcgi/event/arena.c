/* The first block is the thread's own and stays with it; an unusually large body gets
 * further ones from malloc(3). What Jansson frees within the arena is only given back with
 * all the rest; outside of arena_begin() and arena_end() it allocates as ever. */
#include "config.h"

#include "arena.h"

#include <jansson.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A typical body takes 7 to 9 KiB. */
#define FIRST_BYTES 32768
#define FURTHER_BYTES ((size_t)256 * 1024)

struct block {
	struct block *next;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	bool active;
	bool failed;
	unsigned char *at; /* free bytes of the block in use */
	unsigned char *end;
	struct block *blocks; /* beyond the first */
};

static _Thread_local struct arena arena;
static _Thread_local _Alignas(max_align_t) unsigned char first[FIRST_BYTES];

static json_malloc_t usual_malloc;
static json_free_t usual_free;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool add_block(size_t size)
{
	size_t wanted = size > FURTHER_BYTES ? size : FURTHER_BYTES;
	struct block *block = malloc(sizeof *block + wanted);

	if (block == NULL)
		return false;
	block->next = arena.blocks;
	arena.blocks = block;
	arena.at = block->bytes;
	arena.end = block->bytes + wanted;
	return true;
}

static void *take(size_t size)
{
	const size_t align = _Alignof(max_align_t);

	if (!arena.active)
		return usual_malloc(size);
	if (size > SIZE_MAX / 2)
		goto failed;
	size = (size + align - 1) / align * align;
	if (size > (size_t)(arena.end - arena.at) && !add_block(size))
		goto failed;
	void *memory = arena.at;
	arena.at += size;
	return memory;
failed:
	arena.failed = true;
	return NULL;
}

/* While an arena is active, whatever Jansson frees in this thread comes from it. */
static void give_back(void *memory)
{
	if (!arena.active)
		usual_free(memory);
}

static void install(void)
{
	json_get_alloc_funcs(&usual_malloc, &usual_free);
	json_set_alloc_funcs(take, give_back);
}

void arena_begin(void)
{
	pthread_once(&once, install);
	arena_end();
	arena.failed = false;
	arena.at = first;
	arena.end = first + sizeof first;
	arena.active = true;
}

bool arena_failed(void)
{
	return arena.failed;
}

void arena_end(void)
{
	while (arena.blocks != NULL) {
		struct block *block = arena.blocks;

		arena.blocks = block->next;
		free(block);
	}
	arena.active = false;
}
