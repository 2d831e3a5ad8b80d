#include "test.h"
#include <errno.h>

static void keeps_capabilities_over_the_change_of_user(void)
{
	static const uint32_t groups[] = {5, 6};
	struct zb_user s = {.uid = 1000, .gid = 100, .groups = some_bytes(groups, sizeof(groups))};
	s.groups.length = 2;
	stage.death_signal = 9;
	step_user(&s);
	SAME_TEXT(call_log, "keepcaps 1\n"
			    "setgroups 2 first 5\n"
			    "setresgid 100\n"
			    "setresuid 1000\n"
			    "capget\n"
			    "capset ff ff 0\n"
			    "keepcaps 0\n"
			    "pdeathsig 9\n");
}

static void leaves_groups_alone_when_asked(void)
{
	struct zb_user s = {.uid = 1, .gid = 2, .keep_groups = 1};
	step_user(&s);
	SAME_TEXT(call_log, "keepcaps 1\nsetresgid 2\nsetresuid 1\ncapget\ncapset ff ff 0\nkeepcaps 0\n");
}

static void empties_the_groups_without_a_list(void)
{
	step_user(&(struct zb_user){.uid = 0, .gid = 0});
	SAME_TEXT(call_log,
		"keepcaps 1\nsetgroups 0 first 0\nsetresgid 0\nsetresuid 0\ncapget\ncapset ff ff 0\nkeepcaps 0\n");
}

static void names_a_user_that_cannot_be_had(void)
{
	fake_error("setresuid", EINVAL);
	FAILS(step_user(&(struct zb_user){.uid = 4294967294u, .gid = 0}), EINVAL,
		"set user 4294967294, which linux.uidMappings does not map");
	fake_error("setresgid", EINVAL);
	FAILS(step_become(&(struct zb_become){.uid = 0, .gid = 7}), EINVAL, "become group 7");
}

static void drops_what_is_set_and_not_kept(void)
{
	step_bounding(&(struct zb_bounding){.keep = 1u << 0 | 1u << 5 | 1u << 9});
	SAME_TEXT(call_log, "drop 1\ndrop 2\ndrop 4\ndrop 6\ndrop 7\ndrop 8\n");
}

static void clears_then_raises_the_ambient_set(void)
{
	step_ambient(&(struct zb_ambient){.caps = 1ull << 2 | 1ull << 40});
	SAME_TEXT(call_log, "ambient 4 0\nambient 2 2\nambient 2 40\n");
	fake_error("ambient 2", EPERM);
	FAILS(step_ambient(&(struct zb_ambient){.caps = 1ull << 40}), EPERM, "raise ambient capability 40");
}

static void sets_the_three_sets(void)
{
	step_capset(&(struct zb_capset){.effective = 0x100000001, .permitted = 0x3ffffffffff, .inheritable = 0});
	SAME_TEXT(call_log, "capset 100000001 3ffffffffff 0\n");
}

static void goes_on_without_keyrings(void)
{
	fake_error("join_session_keyring none", ENOSYS);
	fake_error("join_session_keyring full", EDQUOT);
	step_keyring(&(struct zb_keyring){.value = a_text("none")});
	FAILS(step_keyring(&(struct zb_keyring){.value = a_text("full")}), EDQUOT, "join session keyring full");
}

static void installs_a_filter_and_sends_its_listener(void)
{
	struct zb_seccomp s = {.filter = some_bytes("0123456789abcdef", 16), .flags = 2, .notify = 1};
	open_reports();
	step_seccomp(&s);
	SAME_TEXT(call_log, "seccomp 1 flags 0xa, 2 instructions\n");
	CHECK(next_report().kind == ZB_REPORT_SECCOMP);
	s.notify = 0;
	s.filter.length = 12;
	FAILS(step_seccomp(&s), EINVAL, "seccomp filter has a wrong size");
	s.filter.length = 0;
	FAILS(step_seccomp(&s), EINVAL, "seccomp filter has a wrong size");
}

static void counts_the_bits_of_a_node_mask(void)
{
	step_memory_policy(&(struct zb_memory_policy){.mode = 2, .nodes = some_bytes("\1\0\0\0\0\0\0\0", 8)});
	step_memory_policy(&(struct zb_memory_policy){.mode = 0});
	SAME_TEXT(call_log, "set_mempolicy 2 nodes 65\nset_mempolicy 0 - 0\n");
}

const struct test cred_tests[] = {
	{"user keeps capabilities over the change", keeps_capabilities_over_the_change_of_user},
	{"user leaves groups alone when asked", leaves_groups_alone_when_asked},
	{"user empties the groups without a list", empties_the_groups_without_a_list},
	{"user names an id that cannot be had", names_a_user_that_cannot_be_had},
	{"bounding drops what is set and not kept", drops_what_is_set_and_not_kept},
	{"ambient clears, then raises", clears_then_raises_the_ambient_set},
	{"capset sets all three sets with 64 bits", sets_the_three_sets},
	{"keyring goes on where the kernel has none", goes_on_without_keyrings},
	{"seccomp sends its listener and refuses odd filters", installs_a_filter_and_sends_its_listener},
	{"memory_policy counts one bit more", counts_the_bits_of_a_node_mask},
	{0},
};
