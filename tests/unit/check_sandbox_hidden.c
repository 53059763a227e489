/* Entering the sandbox where the kernel, or a container, hides a part of it. */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "attempts.h"

struct hidden_row {
	long call;
	uint32_t least; /* only where its third argument is not less than this */
	int reason;
	const char *seccomp;
	const char *landlock; /* as they begin; NULL: as ever */
	const char *error;    /* NULL: it goes on */
};

static const struct hidden_row hidden[] = {
	{SYS_seccomp, 0, ENOSYS, "not available: ", NULL, NULL},
	{SYS_seccomp, 0, EPERM, "not available: ", NULL, NULL},
	/* That the call is there is found out without a filter. */
	{SYS_seccomp, 1, ENOMEM, NULL, NULL, "sandbox: seccomp: Cannot allocate memory"},
#ifdef SYS_landlock_create_ruleset
	{SYS_landlock_create_ruleset, 0, ENOSYS, NULL, "not available: Function not implemented", NULL},
	{SYS_landlock_create_ruleset, 0, EOPNOTSUPP, NULL, "not available: Operation not supported", NULL},
	{SYS_landlock_add_rule, 0, ENOMEM, NULL, NULL, "sandbox: landlock: Cannot allocate memory"},
	{SYS_landlock_restrict_self, 0, EPERM, NULL, NULL, "sandbox: landlock: Operation not permitted"},
#endif
	{SYS_prctl, 0, EPERM, NULL, NULL, "sandbox: no_new_privs: Operation not permitted"},
};

/* The half of it that differs between small numbers. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define THIRD_ARGUMENT offsetof(struct seccomp_data, args[2])
#else
#define THIRD_ARGUMENT (offsetof(struct seccomp_data, args[2]) + sizeof(uint32_t))
#endif

/* From now on the call fails so, as in a container that hides it. */
static bool hide(const struct hidden_row *row)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, THIRD_ARGUMENT),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, row->least, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)row->reason),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {COUNT(steps), steps};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
		&& prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static const struct hidden_row *chosen;

static int enter_where_it_is_hidden(void)
{
	const struct hidden_row *row = chosen;
	const char *const sockets[] = {attempts_socket, NULL};
	const struct sandbox_access access = {attempts_spool, sockets};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (!hide(row))
		return ENTER_FAILED;
	if (sandbox_enter(&access, &sandbox, error) != 0)
		return row->error != NULL && begins(error, row->error) ? 0 : EINVAL;
	return row->error == NULL && begins(sandbox.seccomp, row->seccomp == NULL ? "exec" : row->seccomp)
			&& begins(sandbox.landlock, row->landlock == NULL ? "ABI" : row->landlock)
		? 0
		: EINVAL;
}

/* What is not there is left out, and said; what is there and fails ends the start. */
START_TEST(test_hidden)
{
	chosen = &hidden[_i];
	ck_assert_int_eq(outside(enter_where_it_is_hidden), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sandbox: what is not there");
	TCase *both = tcase_create("both");

	attempts_look();
	const bool all = strncmp(attempts_have.seccomp, "exec", 4) == 0 && attempts_abi >= 2;
	tcase_add_checked_fixture(both, attempts_prepare, attempts_remove);
	tcase_add_loop_test(both, test_hidden, 0, COUNT(hidden));
	if (all)
		suite_add_tcase(suite, both);
	return attempts_run(suite, all);
}
