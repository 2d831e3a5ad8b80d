#include "test.h"
#include <string.h>

static _Alignas(8) unsigned char bytes[1 << 16];
static size_t size;

static void check_bad(const char *want)
{
	const char *got = check_plan(bytes, size);
	SAME_TEXT(got ? got : "(accepted)", want);
}

static void put32(size_t at, uint32_t value)
{
	memcpy(bytes + at, &value, sizeof(value));
}

static uint32_t get32(size_t at)
{
	uint32_t value;
	memcpy(&value, bytes + at, sizeof(value));
	return value;
}

static size_t offset_of_step(uint32_t op)
{
	size_t at = sizeof(struct zb_header);
	while (get32(at) != op)
		at += get32(at + 8);
	return at;
}

static void accepts_a_plan_with_every_step(void)
{
	size = plan_of_every_step(bytes, sizeof(bytes));
	CHECK(check_plan(bytes, size) == NULL);
	use_plan(bytes);
	uint32_t steps = 0;
	for (const struct zb_step *s = next_step(NULL); s; s = next_step(s))
		CHECK(s->op == ++steps);
	CHECK(steps == ZB_OP_COUNT);
	const struct zb_exec *s = (const void *)(bytes + offset_of_step(ZB_OP_EXEC));
	char **args = vector(s->args, NULL);
	SAME_TEXT(args[0], "one");
	SAME_TEXT(args[1], "");
	SAME_TEXT(args[2], "three");
	CHECK(args[3] == NULL);
}

static void refuses_a_damaged_header(void)
{
	static const struct {
		uint32_t at, value;
		const char *want;
	} cases[] = {
		{0, 1, "not a plan"},
		{4, 2, "plan of another version of zbox"},
		{8, 24, "plan is cut off"},
		{12, ZB_OP_COUNT - 1, "plan with a damaged step"},
		{16, ZB_OP_COUNT + 1, "plan with a damaged step"},
		{16, ~0u, "plan with a damaged step"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size = plan_of_every_step(bytes, sizeof(bytes));
		put32(cases[i].at, cases[i].value);
		check_bad(cases[i].want);
	}
	size = sizeof(struct zb_header) - 1;
	check_bad("plan has a wrong size");
	size = (size_t)ZB_MAX_SIZE + 1;
	check_bad("plan has a wrong size");
}

static void refuses_a_damaged_step(void)
{
	static const struct {
		uint32_t field, value;
	} cases[] = {
		{0, 0}, {0, ZB_OP_COUNT + 1}, {0, ~0u}, {4, 0}, {4, 99}, {4, 1}, {8, 8}, {8, 0}, {8, ~0u}, {12, 1}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size = plan_of_every_step(bytes, sizeof(bytes));
		put32(offset_of_step(ZB_OP_BIND) + cases[i].field, cases[i].value);
		check_bad("plan with a damaged step");
	}
}

static void refuses_references_out_of_bounds(void)
{
	static const struct {
		enum zb_op op;
		uint32_t field, offset, length;
	} cases[] = {
		{ZB_OP_HOSTNAME, 16, 0, 1},          /* into the header */
		{ZB_OP_HOSTNAME, 16, 24, 8},         /* into the steps */
		{ZB_OP_HOSTNAME, 16, 0xfffffff8, 8}, /* far behind */
		{ZB_OP_HOSTNAME, 16, 8000, ~0u},     /* overflows */
		{ZB_OP_HOSTNAME, 16, 8, 0},          /* empty, but somewhere */
		{ZB_OP_USER, 24, 0xfffffff8, 1}, {ZB_OP_USER, 24, 0, 0x40000000}, {ZB_OP_EXEC, 16, 0, 0x20000000},
		{ZB_OP_SECCOMP, 16, 0, 5}, {ZB_OP_SECCOMP, 16, 24, 5}, /* into the steps, and a zero byte behind */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size = plan_of_every_step(bytes, sizeof(bytes));
		size_t at = offset_of_step(cases[i].op) + cases[i].field;
		put32(at, cases[i].offset);
		put32(at + 4, cases[i].length);
		check_bad("plan with a damaged reference");
	}
}

static void refuses_text_that_is_not_terminated(void)
{
	size = plan_of_every_step(bytes, sizeof(bytes));
	size_t at = get32(offset_of_step(ZB_OP_HOSTNAME) + 16);
	bytes[at + 9] = 'x';
	check_bad("plan with a damaged reference");
	bytes[at + 9] = 0;
	bytes[at + 3] = 0; /* and text that ends early */
	check_bad("plan with a damaged reference");
}

static void refuses_a_bad_element_of_a_list(void)
{
	size = plan_of_every_step(bytes, sizeof(bytes));
	size_t list = get32(offset_of_step(ZB_OP_EXEC) + 16);
	put32(list + 8 * 2, 0xfffffff8);
	check_bad("plan with a damaged reference");
}

static void refuses_an_unaligned_list(void)
{
	size = plan_of_every_step(bytes, sizeof(bytes));
	size_t at = offset_of_step(ZB_OP_USER) + 24;
	put32(at, get32(at) + 4);
	put32(at + 4, 1);
	check_bad("plan with a damaged reference");
}

const struct test decode_tests[] = {
	{"decode accepts a plan with every step", accepts_a_plan_with_every_step},
	{"decode refuses a damaged header", refuses_a_damaged_header},
	{"decode refuses a damaged step", refuses_a_damaged_step},
	{"decode refuses references out of bounds", refuses_references_out_of_bounds},
	{"decode refuses text that is not terminated", refuses_text_that_is_not_terminated},
	{"decode refuses a bad element of a list", refuses_a_bad_element_of_a_list},
	{"decode refuses an unaligned list", refuses_an_unaligned_list},
	{0},
};
