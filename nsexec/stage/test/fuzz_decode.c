/* libFuzzer: whatever bytes check_plan accepts, the accessors must be able to read. */
#define ZB_PLAN_TABLES
#include "../stage.h"
#include <stdlib.h>
#include <string.h>

struct stage stage;

_Noreturn void fail_pieces(int error, const char *const *pieces)
{
	(void)error;
	(void)pieces;
	abort();
}

static size_t touched;

static void read_field(struct zb_ref ref, enum zb_field_kind kind)
{
	const unsigned char *bytes = bytes_of(ref);
	switch (kind) {
	case ZB_STRING:
		if (strlen(text(ref)) != ref.length)
			abort();
		return;
	case ZB_STRING_LIST:
		for (uint32_t i = 0; i < ref.length; i++)
			touched += strlen(list_text(ref, i));
		return;
	case ZB_BYTES:
		for (uint32_t i = 0; i < ref.length; i++)
			touched += bytes[i];
		return;
	case ZB_U32_LIST:
		for (uint32_t i = 0; i < ref.length; i++)
			touched += ((const uint32_t *)(const void *)bytes)[i];
		return;
	case ZB_U32:
	case ZB_I32:
	case ZB_U64:
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *copy = malloc(size ? size : 1); /* aligned, and its end is guarded */
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!check_plan(copy, size)) {
		use_plan(copy);
		for (const struct zb_step *s = next_step(NULL); s; s = next_step(s))
			for (uint32_t i = 0; i < zb_layouts[s->op].count; i++) {
				struct zb_ref ref;
				memcpy(&ref, (const char *)s + zb_layouts[s->op].fields[i].offset, sizeof(ref));
				read_field(ref, (enum zb_field_kind)zb_layouts[s->op].fields[i].kind);
			}
	}
	free(copy);
	return 0;
}
