/* Reading the plan. check_plan looks at every byte that a step can refer to before the first step runs, so that the
 * accessors need no checks of their own. */
#define ZB_PLAN_TABLES
#include "stage.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct view {
	const unsigned char *bytes;
	uint32_t size, pool; /* pool: where the steps end; references point behind it */
};

static bool within(const struct view *v, uint32_t offset, uint64_t length)
{
	return offset >= v->pool && offset <= v->size && length <= v->size - offset;
}

static bool check_bytes(const struct view *v, struct zb_ref ref)
{
	if (ref.length == 0)
		return ref.offset == 0;
	return within(v, ref.offset, (uint64_t)ref.length + 1) && ref.offset % 8 == 0 &&
	       v->bytes[ref.offset + ref.length] == 0;
}

static bool check_text(const struct view *v, struct zb_ref ref)
{
	return check_bytes(v, ref) && (ref.length == 0 || !memchr(v->bytes + ref.offset, 0, ref.length));
}

static bool check_list(const struct view *v, struct zb_ref ref, uint32_t item)
{
	if (ref.length == 0)
		return ref.offset == 0;
	return within(v, ref.offset, (uint64_t)ref.length * item) && ref.offset % 8 == 0;
}

static bool check_texts(const struct view *v, struct zb_ref ref)
{
	if (!check_list(v, ref, sizeof(struct zb_ref)))
		return false;
	for (uint32_t i = 0; i < ref.length; i++) {
		struct zb_ref item;
		memcpy(&item, v->bytes + ref.offset + (size_t)i * sizeof(item), sizeof(item));
		if (!check_text(v, item))
			return false;
	}
	return true;
}

static bool check_fields(const struct view *v, const unsigned char *step, const struct zb_layout *layout)
{
	for (uint32_t i = 0; i < layout->count; i++) {
		struct zb_ref ref;
		memcpy(&ref, step + layout->fields[i].offset, sizeof(ref));
		bool good = false;
		switch ((enum zb_field_kind)layout->fields[i].kind) {
		case ZB_STRING:
			good = check_text(v, ref);
			break;
		case ZB_BYTES:
			good = check_bytes(v, ref);
			break;
		case ZB_U32_LIST:
			good = check_list(v, ref, sizeof(uint32_t));
			break;
		case ZB_STRING_LIST:
			good = check_texts(v, ref);
			break;
		case ZB_U32:
		case ZB_I32:
		case ZB_U64:
			break; /* the tables hold references only */
		}
		if (!good)
			return false;
	}
	return true;
}

/* Walks the steps' headers; returns where they end, or 0. */
static uint32_t check_steps(const unsigned char *bytes, const struct zb_header *h)
{
	uint32_t at = sizeof(*h), last = 0;
	for (uint32_t i = 0; i < h->stage_steps; i++) {
		struct zb_step step;
		if (h->size - at < sizeof(step))
			return 0;
		memcpy(&step, bytes + at, sizeof(step));
		if (step.op < 1 || step.op > ZB_OP_COUNT || step.size != zb_layouts[step.op].size ||
			step.size > h->size - at)
			return 0;
		if (step.zero != 0 || step.number <= last || step.number > h->total_steps)
			return 0;
		last = step.number;
		at += step.size;
	}
	return at;
}

/* Returns NULL for a plan that is safe to run, else what is wrong with it. The bytes are aligned to 8. */
const char *check_plan(const void *bytes, size_t size)
{
	struct zb_header h;
	if (size < sizeof(h) || size > ZB_MAX_SIZE)
		return "plan has a wrong size";
	memcpy(&h, bytes, sizeof(h));
	if (h.magic != ZB_MAGIC)
		return "not a plan";
	if (h.version != ZB_VERSION)
		return "plan of another version of zbox";
	if (h.size != size)
		return "plan is cut off";
	struct view v = {.bytes = bytes, .size = h.size, .pool = check_steps(bytes, &h)};
	if (v.pool == 0)
		return "plan with a damaged step";
	uint32_t at = sizeof(h);
	for (uint32_t i = 0; i < h.stage_steps; i++) {
		struct zb_step step;
		memcpy(&step, v.bytes + at, sizeof(step));
		if (!check_fields(&v, v.bytes + at, &zb_layouts[step.op]))
			return "plan with a damaged reference";
		at += step.size;
	}
	return NULL;
}

void use_plan(const void *bytes)
{
	struct zb_header h;
	memcpy(&h, bytes, sizeof(h));
	stage.plan = bytes;
	stage.keep = h.preserve;
	stage.plan_end = stage.plan + check_steps(stage.plan, &h);
}

/* The first step for NULL, else the one behind step; NULL behind the last. */
const struct zb_step *next_step(const struct zb_step *step)
{
	const unsigned char *at = stage.plan + sizeof(struct zb_header);
	if (step)
		at = (const unsigned char *)step + step->size;
	return at < stage.plan_end ? (const struct zb_step *)(const void *)at : NULL;
}

const char *text(struct zb_ref ref)
{
	return ref.length ? (const char *)stage.plan + ref.offset : "";
}

const void *bytes_of(struct zb_ref ref)
{
	return ref.length ? stage.plan + ref.offset : NULL;
}

const char *list_text(struct zb_ref list, uint32_t index)
{
	struct zb_ref item;
	memcpy(&item, stage.plan + list.offset + (size_t)index * sizeof(item), sizeof(item));
	return text(item);
}

int plan_fd(int32_t number)
{
	return number < 0 ? -1 : stage.base + 2 + number;
}

/* An array for execve. It needs room for the terminating NULL, so it gets pages of its own; they live until exec. */
char **vector(struct zb_ref list, const char *first_if_empty)
{
	size_t count = list.length ? list.length : 1;
	char **out = mmap(NULL, (count + 1) * sizeof(*out), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (out == MAP_FAILED)
		fail(errno, "allocate an argument list");
	if (list.length == 0)
		out[0] = (char *)(uintptr_t)first_if_empty;
	for (uint32_t i = 0; i < list.length; i++)
		out[i] = (char *)(uintptr_t)list_text(list, i);
	return out;
}
