#define ZB_PLAN_TABLES
#include "test.h"
#include <string.h>

#define POOL 8192 /* steps made by add_step are in front, what they refer to is behind */

static _Alignas(8) unsigned char plan[1 << 18];
static uint32_t used;

void new_plan(void)
{
	memset(plan, 0, sizeof(plan));
	used = POOL;
	stage.plan = plan;
	stage.plan_end = plan + sizeof(struct zb_header);
}

/* Appends a step; returns where it is. */
const void *add_step(enum zb_op op, void *record, size_t size)
{
	unsigned char *at = plan + (stage.plan_end - plan);
	struct zb_step head = {.op = op, .number = 1, .size = zb_layouts[op].size};
	CHECK(at + head.size < plan + POOL);
	memcpy(record, &head, sizeof(head));
	memcpy(at, record, size); /* a record is a multiple of 8, its struct may be smaller */
	stage.plan_end = at + head.size;
	return at;
}

struct zb_ref some_bytes(const void *bytes, uint32_t length)
{
	struct zb_ref ref = {.offset = used, .length = length};
	if (length == 0)
		return (struct zb_ref){0, 0};
	CHECK(used + length + 8 < sizeof(plan));
	memcpy(plan + used, bytes, length);
	used = (used + length + 1 + 7) & ~7u;
	return ref;
}

struct zb_ref a_text(const char *s)
{
	return some_bytes(s, (uint32_t)strlen(s));
}

struct zb_ref a_list(const char *const *items)
{
	struct zb_ref refs[64];
	uint32_t n = 0;
	for (; items[n]; n++)
		refs[n] = a_text(items[n]);
	struct zb_ref list = some_bytes(refs, n * (uint32_t)sizeof(*refs));
	list.length = n;
	return list;
}

static struct zb_ref sample(uint16_t kind)
{
	static const uint32_t numbers[] = {1, 2, 3};
	struct zb_ref ref;
	switch ((enum zb_field_kind)kind) {
	case ZB_STRING:
		return a_text("/a/string");
	case ZB_BYTES:
		return some_bytes("0123456789abcdef", 16);
	case ZB_U32_LIST:
		ref = some_bytes(numbers, sizeof(numbers));
		ref.length = 3;
		return ref;
	case ZB_STRING_LIST:
		return LIST("one", "", "three");
	case ZB_U32:
	case ZB_I32:
	case ZB_U64:
		break;
	}
	return (struct zb_ref){0, 0};
}

/* A valid plan with one step of every kind: the start of decode tests and of the fuzzer. */
size_t plan_of_every_step(unsigned char *buffer, size_t size)
{
	struct zb_header header = {ZB_MAGIC, ZB_VERSION, 0, ZB_OP_COUNT, ZB_OP_COUNT, 0};
	uint32_t at = sizeof(header);
	new_plan();
	used = at;
	for (uint32_t op = 1; op <= ZB_OP_COUNT; op++)
		used += zb_layouts[op].size;
	for (uint32_t op = 1; op <= ZB_OP_COUNT; op++) {
		const struct zb_layout *layout = &zb_layouts[op];
		struct zb_step step = {.op = op, .number = op, .size = layout->size};
		memcpy(plan + at, &step, sizeof(step));
		for (uint32_t i = 0; i < layout->count; i++) {
			struct zb_ref ref = sample(layout->fields[i].kind);
			memcpy(plan + at + layout->fields[i].offset, &ref, sizeof(ref));
		}
		at += layout->size;
	}
	header.size = used;
	memcpy(plan, &header, sizeof(header));
	CHECK(used <= size);
	memcpy(buffer, plan, used);
	return used;
}
